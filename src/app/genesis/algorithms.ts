import type { Algorithm } from "../../core/consensus/index.ts";
import { dag } from "../../core/dag/index.ts";

/** The consensus algorithms that this program knows, by which a genesis names them. */
export const algorithms: readonly Algorithm[] = [dag];
