export { type LightStatus, openLight } from "./light.ts";
