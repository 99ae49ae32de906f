export type { CosignGuard } from "./cosigning.ts";
export type { HostEffect, HostEvidence, HostInput } from "./effects.ts";
export { FollowerHost, type FollowerOptions } from "./follower.ts";
export { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
export { dagConfigOf, initialState, mirrorConfigOf } from "./network-config.ts";
export type { Guard, HostRecovery, RecoveredCommit } from "./recovery.ts";
export { WriterHost, type WriterOptions } from "./writer.ts";
