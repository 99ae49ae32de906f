import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fuzz } from "../support/wire-fuzz.ts";

/**
 * Fuzzes what a peer can say to a writer: npm run fuzz -- [--seconds 60] [--seed N] [--frames N] [--keep]
 * With --keep, what reached something new joins the corpus. A fault is printed with the command that repeats it.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    frames: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const file = fileURLToPath(new URL("../../../test/campaign/wire-corpus.json", import.meta.url));
const kept = JSON.parse(readFileSync(file, "utf8")) as string[];
const seed = Number(values.seed);
const most = values.frames === undefined ? Number.POSITIVE_INFINITY : Number(values.frames);
const endMs = performance.now() + Number(values.seconds) * 1000;
let toldMs = performance.now();
const result = fuzz({
  seed,
  corpus: kept.map((hex) => Buffer.from(hex, "hex")),
  isOver: (frames) => {
    if (frames % 256 === 0 && performance.now() > toldMs + 10_000) {
      toldMs = performance.now();
      process.stdout.write(`${frames} frames\n`);
    }
    return frames >= most || performance.now() > endMs;
  },
});
process.stdout.write(
  `seed ${seed}: ${result.frames} frames, ${result.corpus.length} in the corpus\n`,
);
if (values.keep) {
  const all = new Set([
    ...kept,
    ...result.corpus.map((frame) => Buffer.from(frame).toString("hex")),
  ]);
  const small = [...all].filter((hex) => hex.length < 4000);
  writeFileSync(file, `${JSON.stringify(small.slice(0, 400), undefined, 1)}\n`);
}
if (result.found !== undefined) {
  const { frame, why } = result.found;
  process.stdout.write(
    `FAULT ${why}\n  frame ${Buffer.from(frame).toString("hex").slice(0, 400)}\n`,
  );
  process.stdout.write(
    `  repeat: npm run fuzz -- --seed ${seed} --frames ${result.frames + 1} --seconds 3600\n`,
  );
  process.exitCode = 1;
}
