export type { AcceptanceMachine, AcceptedBatch, AcceptedPayload, Segment } from "./contract.ts";
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
} from "./dag/block.ts";
export {
  type Commit,
  commitDigest,
  commitShape,
  commitValue,
  genesisCommitDigest,
} from "./dag/commit.ts";
export {
  type CertifiedCommit,
  type CertifiedRange,
  type CommitRange,
  commitRangeShape,
  commitRangeValue,
  type RangeCommit,
  verifyCommitRange,
} from "./dag/commit-range.ts";
export type { CommitCertificate } from "./dag/commit-votes.ts";
export { leadersOf } from "./dag/graph.ts";
export {
  DagAcceptance,
  type DagEffect,
  type DagInput,
  type DagRecovery,
  type DagSigner,
  type DropCode,
} from "./dag/machine.ts";
export type { Pacing } from "./dag/pacing.ts";
export { fitsPayload, type Submission } from "./dag/payload-queue.ts";
export {
  encodePayload,
  messageCount,
  messagesOf,
  readPayload,
  segmentBytes,
  segmentOf,
  segmentShape,
  segmentValue,
} from "./segment.ts";
