export {
  type Block,
  blockFromWire,
  blockParts,
  blockSigningBytes,
  type CommitVote,
  claimedRef,
  type DagConfig,
  encodeHeader,
  genesisRef,
  type Header,
  headerBodyDigest,
  headerDigest,
  type InvalidBlock,
  type Ref,
  refKey,
  refShape,
  refValue,
  type SignedHeader,
  type SlotName,
  sameRef,
  signedHeaderShape,
  signedHeaderValue,
  slotIdentity,
  type VerifiedBlock,
  verifyBlock,
  verifySignedHeader,
  wireOf,
} from "./block.ts";
export { readCertificate } from "./certificate.ts";
export {
  type Commit,
  commitDigest,
  commitShape,
  commitValue,
  genesisCommitDigest,
} from "./commit.ts";
export {
  type CertifiedCommit,
  type CertifiedRange,
  type CommitRange,
  commitRangeShape,
  commitRangeValue,
  type RangeCommit,
  verifyCommitRange,
} from "./commit-range.ts";
export type { CommitCertificate } from "./commit-votes.ts";
export { leadersOf } from "./graph.ts";
export {
  type DagEffect,
  type DagInput,
  DagMachine,
  type DagRecovery,
  type DagSigner,
  type DropCode,
} from "./machine.ts";
export {
  type DagMessage,
  decodeDagMessage,
  encodeDagMessage,
  isDagMessage,
} from "./messages.ts";
export type { DagMisbehaviour } from "./misbehaviour.ts";
export { DagParticipant } from "./participant.ts";
export { type DagParameters, dag, dagConfigOf, dagOf } from "./protocol.ts";
export {
  batchOf,
  blockOf,
  blockRecord,
  commitOf,
  commitRecord,
  type DagRecord,
  nameOf,
} from "./records.ts";
export {
  type CommitRule,
  checkRule,
  commitRule,
  defaultLeaders,
  defaultRule,
  fractionRule,
  type RuleName,
} from "./rows.ts";
