import { join } from "node:path";
import { homeOf, loadGenesis } from "../src/app/config/index.ts";
import { Ed25519Verifier } from "../src/core/crypto/index.ts";
import { dagConfigOf } from "../src/core/dag/index.ts";
import { loadKeyFile } from "../src/io/files/index.ts";
import { Links } from "../src/io/transport/links.ts";
import { type Bend, equivocating, withholding } from "../testing/faults/index.ts";

/**
 * A writer that cheats, as a process: the unmodified program but for what goes out on its links. The kind comes first
 * in argv, then what would have been run: `slow` sends everything just before the others stop waiting for it,
 * `withhold` sends its blocks to one peer only, `equivocate` sends half of the peers another block for each slot.
 */
const [, , kind = "", , main = "", ...args] = process.argv;
const slowMs = 200;
const honest = Links.prototype.broadcast;

async function cheat(): Promise<Links["broadcast"]> {
  if (kind === "slow")
    return function (this: Links, to, frame) {
      setTimeout(() => honest.call(this, to, frame), slowMs);
    };
  const bend = await bendOf();
  return function (this: Links, to, frame) {
    for (const part of bend(to, frame)) honest.call(this, part.to, part.frame);
  };
}

async function bendOf(): Promise<Bend> {
  if (kind === "withhold") return withholding;
  if (kind !== "equivocate") throw new Error(`no way to cheat is called ${kind}`);
  const home = homeOf(args[args.indexOf("--home") + 1] ?? "");
  const config = dagConfigOf(await loadGenesis(home.genesisFile));
  const { signer } = await loadKeyFile(join(home.keysDirectory, "block.json"), "block");
  return equivocating({ config, signer, verifier: new Ed25519Verifier() });
}

Links.prototype.broadcast = await cheat();
process.argv = [process.execPath, main, ...args];
await import(main);
