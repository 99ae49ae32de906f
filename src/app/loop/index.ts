export { HostLoop, type LaterEffect, type LoopClock } from "./host-loop.ts";
