export { HostLoop, type LaterEffect, type LoopClock, persist, writeState } from "./host-loop.ts";
export { type HostStore, type HostStoreParts, openHostStore } from "./host-store.ts";
