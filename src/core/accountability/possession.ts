import { concatBytes, type Digest, fromHex, type PublicKey, toHex } from "../base/index.ts";
import {
  digest,
  encode,
  exactBytes,
  fields,
  publicKey,
  type Shape,
  type Value,
} from "../codec/index.ts";
import { type Signer, signingBytes, taggedDigest, type Verifier } from "../crypto/index.ts";

/**
 * A host's answer to "do you have this content?": a hash that only the content gives, since the nonce is new. A host
 * that has it not must not answer; one that answers wrongly convicts itself.
 */
export interface PossessionClaim {
  readonly group: Digest;
  readonly key: PublicKey;
  readonly content: Digest;
  /** 32 bytes as hex, of the asker's choice. */
  readonly nonce: Digest;
  readonly answer: Digest;
  readonly signature: Uint8Array;
}

/** The answer to a challenge, from the content itself. */
export function possessionAnswer(nonce: Digest, content: Uint8Array): Digest {
  return taggedDigest("possession", concatBytes([fromHex(nonce), content]));
}

function claimBytes(claim: Omit<PossessionClaim, "signature">): Uint8Array {
  const { group, key, content, nonce, answer } = claim;
  const body = encode([group, key, content, nonce, answer].map(fromHex));
  return signingBytes("possession", taggedDigest("possession", body));
}

/** Signs an answer to a challenge with the host's own key. */
export function signPossession(
  claim: Omit<PossessionClaim, "signature">,
  signer: Pick<Signer, "sign">,
): PossessionClaim {
  return { ...claim, signature: signer.sign(claimBytes(claim)) };
}

export function isPossessionSigned(claim: PossessionClaim, verifier: Verifier): boolean {
  return verifier.verify(claim.key, claimBytes(claim), claim.signature);
}

export function possessionValue(claim: PossessionClaim): Value {
  const { key, content, nonce, answer, signature } = claim;
  return [fromHex(key), fromHex(content), fromHex(nonce), fromHex(answer), signature];
}

export function possessionShape(group: Digest): Shape<PossessionClaim> {
  return (value, what) => {
    const [key, content, nonce, answer, signature] = fields(5)(value, what);
    return {
      group,
      key: publicKey(key, `${what}.key`),
      content: digest(content, `${what}.content`),
      nonce: toHex(exactBytes(32)(nonce, `${what}.nonce`)) as Digest,
      answer: digest(answer, `${what}.answer`),
      signature: exactBytes(64)(signature, `${what}.signature`),
    };
  };
}
