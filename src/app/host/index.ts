export type { CommitArchive } from "./commit-archive.ts";
export { HostLoop, type LaterEffect, type LoopClock } from "./host-loop.ts";
export type { HostStore } from "./host-store.ts";
export { type HostStoreParts, openHostStore } from "./open-store.ts";
