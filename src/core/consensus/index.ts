export type {
  AcceptedBatch,
  AcceptedPayload,
  BatchPoint,
  Segment,
  Submission,
} from "./batch.ts";
export type {
  Consensus,
  ConsensusEffect,
  ConsensusInput,
  ConsensusRecord,
  ConsensusStep,
  ConsensusVitals,
} from "./contract.ts";
export { type FaultBudget, faultsTolerated, quorumOf } from "./faults.ts";
export type { Finding, Misbehaviour, MisbehaviourKind } from "./misbehaviour.ts";
export type {
  Algorithm,
  BatchRange,
  CertifiedBatch,
  Configuration,
  Configured,
  Pacing,
  ParticipantParts,
  Protocol,
} from "./protocol.ts";
export {
  type Certificate,
  type LoggedBatch,
  type LogRecord,
  type RecordName,
  recordKey,
} from "./record.ts";
export {
  encodePayload,
  fitsPayload,
  messageCount,
  messagesOf,
  payloadFrameBytes,
  protocolMessageCount,
  readPayload,
  segmentBytes,
  segmentOf,
  segmentShape,
  segmentValue,
} from "./segment.ts";
export { Stall } from "./stall.ts";
