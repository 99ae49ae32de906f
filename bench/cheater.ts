import { join } from "node:path";
import { homeOf, loadGenesis } from "../src/app/config/index.ts";
import {
  blockSigningBytes,
  encodeHeader,
  headerDigest,
  verifyBlock,
} from "../src/core/acceptance/dag/block.ts";
import { wireOf } from "../src/core/acceptance/index.ts";
import { Ed25519Verifier } from "../src/core/crypto/index.ts";
import { dagConfigOf, decodeMessage, encodeMessage } from "../src/core/host/index.ts";
import { loadKeyFile } from "../src/io/files/index.ts";
import { Links } from "../src/io/transport/links.ts";

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
  if (kind === "withhold")
    return function (this: Links, to, frame) {
      honest.call(this, to.slice(0, 1), frame);
    };
  if (kind !== "equivocate") throw new Error(`no way to cheat is called ${kind}`);
  const twin = await twinner();
  return function (this: Links, to, frame) {
    honest.call(this, to.slice(0, 1), frame);
    honest.call(this, to.slice(1), twin(frame));
  };
}

/** Another block for the same slot, as well signed; frames that are no blocks stay as they are. */
async function twinner(): Promise<(frame: Uint8Array) => Uint8Array> {
  const home = homeOf(args[args.indexOf("--home") + 1] ?? "");
  const config = dagConfigOf(await loadGenesis(home.genesisFile));
  const { signer } = await loadKeyFile(join(home.keysDirectory, "block.json"), "block");
  const verifier = new Ed25519Verifier();
  return (frame) => {
    const message = decodeMessage(frame);
    if (!message.ok || message.value.type !== "block") return frame;
    const block = verifyBlock(message.value.wire, config, verifier);
    if (!block.ok) return frame;
    const { header, payload } = block.value;
    const other = { ...header, tsMs: header.tsMs + 1 };
    const bytes = encodeHeader(other);
    const signature = signer.sign(blockSigningBytes(headerDigest(other, bytes)));
    return encodeMessage({ type: "block", wire: wireOf({ bytes, signature }, payload) });
  };
}

Links.prototype.broadcast = await cheat();
process.argv = [process.execPath, main, ...args];
await import(main);
