export {
  type CertifiedCheckpoint,
  type Checkpoint,
  type Cosignature,
  type Cosigner,
  cosign,
  leaseOf,
  readNote,
  verifyCosignature,
  verifyNote,
  writeNote,
} from "./checkpoint.ts";
export {
  type Kind,
  sha256,
  sha256Bytes,
  sha256Text,
  signingBytes,
  taggedDigest,
} from "./digest.ts";
export {
  append,
  consistencyProof,
  emptyFrontier,
  type Frontier,
  type HashReader,
  inclusionProof,
  leafHash,
  nodeHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
export {
  Ed25519Verifier,
  ed25519Signer,
  isSoundKey,
  type Signer,
  type Verifier,
} from "./signature.ts";
export {
  areSignedTwins,
  type SignedBody,
  type SignedTwins,
  signedBodyShape,
  twinValues,
} from "./signed-body.ts";
