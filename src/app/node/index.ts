export { type FsckReport, fsck } from "./fsck.ts";
export type { CollectionReport } from "./garbage-collector.ts";
export { type RunningNode, startNode } from "./node.ts";
export { type Outside, outside } from "./outside.ts";
export { SplitReachedError } from "./split-reached.ts";
