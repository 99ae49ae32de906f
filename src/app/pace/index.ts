export { BusyError, FewAtOnce } from "./few-at-once.ts";
export { broughtBytesMax, InLine } from "./in-line.ts";
export { inTurns } from "./in-turns.ts";
export { SharedRoom } from "./shared-room.ts";
