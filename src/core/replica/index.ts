export type { SplitWish } from "./accountability.ts";

export type {
  FollowerEffect,
  FollowerInput,
  HostEffect,
  HostInput,
  HostRecord,
  HostStep,
  WriterVitals,
} from "./effects.ts";
export { FollowerHost } from "./follower.ts";
export { decodeHostMessage, encodeHostMessage, type HostMessage } from "./messages.ts";
export { initialState, mirrorConfigOf } from "./network-config.ts";
export type { OpinionView } from "./opinions.ts";
export type { Guard, HostRecovery } from "./recovery.ts";
export {
  type CertifiedPoint,
  certifiedPointOf,
  type JoinRecord,
  type PlanView,
} from "./splitting.ts";
export { WriterHost } from "./writer.ts";
