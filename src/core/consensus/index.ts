export type {
  AcceptedBatch,
  AcceptedPayload,
  Algorithm,
  Consensus,
  ConsensusEffect,
  ConsensusInput,
  Segment,
  Submission,
} from "./contract.ts";
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
export {
  type DagMessage,
  decodeDagMessage,
  encodeDagMessage,
  isDagMessage,
} from "./dag/messages.ts";
export type { DagMisbehaviour } from "./dag/misbehaviour.ts";
export type { Pacing } from "./dag/pacing.ts";
export { type Dag, DagParticipant, type DagParts } from "./dag/participant.ts";
export { fitsPayload } from "./dag/payload-queue.ts";
export type { DagVitals } from "./dag/vitals.ts";
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
export { Stall } from "./stall.ts";
