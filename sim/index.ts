export { adversaries } from "./adversaries.ts";
export { type CampaignResult, campaign, type Job, type SeedResult, seedsFrom } from "./campaign.ts";
export {
  type AdversaryName,
  adversaryNames,
  describePlan,
  type Plan,
  type PlanOptions,
  planOf,
  type Trouble,
  troubles,
} from "./plan.ts";
export type { Note } from "./realm.ts";
export { type Outcome, runPlan } from "./run.ts";
export { commandOf, shrink } from "./shrink.ts";
export { Timeline } from "./timeline.ts";
export { World } from "./world.ts";
