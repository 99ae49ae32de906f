export { Retainer } from "./retainer.ts";
export { decodeKept, type Heights, isKept, type Kept, keptHeights } from "./retention.ts";
export { walkTrees } from "./walk-trees.ts";
