import { readFile } from "node:fs/promises";
import type { Network } from "../../core/committee/index.ts";
import { ConfigError, parseGenesis } from "../genesis/index.ts";
import { refuseUnreadable } from "./config.ts";

/** {@link parseGenesis} from a file. */
export async function loadGenesis(path: string): Promise<Network> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    refuseUnreadable(path, error);
    throw new ConfigError(
      "GENESIS_MISSING",
      `no genesis at ${path}; copy the network's genesis.json there`,
    );
  }
  return parseGenesis(text, path);
}
