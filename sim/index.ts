export { adversaries } from "./adversaries.ts";
export { type CampaignResult, campaign, type Job, type SeedResult, seedsFrom } from "./campaign.ts";
export { Clients } from "./clients.ts";
export { diskFaults, SimDisk } from "./disk.ts";
export { isLinearizable, type Operation } from "./linearizable.ts";
export { Liveness } from "./liveness.ts";
export { malloryTricks } from "./mallory.ts";
export { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
export { SimNetwork } from "./network.ts";
export {
  type AdversaryName,
  adversaryNames,
  committeeSizes,
  describePlan,
  type HostFault,
  type Plan,
  type PlanOptions,
  planOf,
  type Trouble,
  troubles,
} from "./plan.ts";
export { type Played, play, situationDetector } from "./play.ts";
export type { Note } from "./realm.ts";
export { type Outcome, runPlan } from "./run.ts";
export { Scheduler } from "./scheduler.ts";
export { allSchedules } from "./schedules.ts";
export { commandOf, shrink } from "./shrink.ts";
export { type Letter, letters, type Situation, type Stage, situations } from "./situations.ts";
export { neverReached } from "./sometimes.ts";
export { SimBlobStore, SimStateStore } from "./stores.ts";
export { Timeline } from "./timeline.ts";
export { World } from "./world.ts";
