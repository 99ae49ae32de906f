export type { BatchArchive } from "./batch-archive.ts";
export { HostLoop, type LaterEffect, type LoopClock } from "./host-loop.ts";
export type { HostStore, Question } from "./host-store.ts";
export { type HostStoreParts, openHostStore } from "./open-store.ts";
