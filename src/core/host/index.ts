export { courtOf, dagConfigOf } from "../evidence/index.ts";
export type { CosignGuard } from "./cosigning.ts";
export type { FollowerInput, HostEffect, HostInput, WriterVitals } from "./effects.ts";
export { FollowerHost, type FollowerOptions } from "./follower.ts";
export { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
export { initialState, mirrorConfigOf } from "./network-config.ts";
export type { OpinionView } from "./opinions.ts";
export { batchOf, type Guard, type HostRecovery, type RecoveredCommit } from "./recovery.ts";
export {
  type CertifiedPoint,
  certifiedPointOf,
  type JoinRecord,
  type PlanView,
} from "./splitting.ts";
export { WriterHost } from "./writer.ts";
export type { WriterOptions } from "./writer-options.ts";
