export type { LiarRow } from "./liars.ts";
export { type LightOptions, type LightStatus, openLight, type RunningLight } from "./light.ts";
