import type { Network } from "../../core/committee/index.ts";
import type { Algorithm } from "../../core/consensus/index.ts";
import { dag } from "../../core/dag/index.ts";
import { readGenesis } from "./genesis-file.ts";

/** The consensus algorithms that this program knows, by which a genesis names them. */
export const algorithms: readonly Algorithm[] = [dag];

/** Reads and checks a genesis from its JSON text, which may name any of them. Throws GENESIS_*, RULE_*. */
export function parseGenesis(text: string, source: string): Network {
  return readGenesis(text, source, algorithms);
}
