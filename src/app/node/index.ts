export type { CollectionReport } from "./collector.ts";
export { type FsckProblem, type FsckReport, fsck } from "./fsck.ts";
export { type Log, openLog, silent } from "./log.ts";
export { type RunningNode, startNode } from "./node.ts";
export { type Outside, outside } from "./outside.ts";
export { SplitReachedError } from "./split-reached.ts";
