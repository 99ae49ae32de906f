import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  adversaryNames,
  campaign,
  commandOf,
  type Job,
  type SeedResult,
  seedsFrom,
} from "../../sim/index.ts";

const corpus = JSON.parse(
  readFileSync(new URL("../../../sim/corpus.json", import.meta.url), "utf8"),
) as readonly (Job & { readonly was: string })[];

const { SMALTI_SIM_FIRST: firstSeed = "1000", SMALTI_SIM_SEEDS: seedCount = "1000" } = process.env;
const [first, count] = [Number(firstSeed), Number(seedCount)];

/** Rare states that one seed in a hundred must reach: a campaign that never gets into trouble proves nothing. */
const sometimes = [
  "evidence: equivocation",
  "evidence: invalid-block",
  "a host that may not sign after a restart",
  "a damaged disk was refused",
  "started again after a disk error",
  "restored from an old backup",
  "started twice",
  "a writer too few",
  "wrong content refused",
  "an unreadable answer refused",
  "a source refused: BAD_SIGNATURE",
  "a source refused: NO_QUORUM",
  "a source refused: BROKEN_CHAIN",
  "a register read through the order",
  "a register create ended: conflict",
  "stopped: STORAGE_WRITE_FAILED",
  "stopped: STORAGE_GUARD_FAILED",
  "stopped: STORAGE_LOG_CORRUPT",
  "disconnected: NO_HELLO",
];

function told({ seed, options, plan, failure }: SeedResult): string {
  return `${plan}\n${failure}\nrepeat it with: ${commandOf({ seed }, options)}`;
}

test("seeds that once failed", async () => {
  const { failures, seeds } = await campaign({ jobs: corpus.values() });
  assert.equal(seeds, corpus.length);
  assert.deepEqual(failures.map(told), []);
});

test(`${count} seeds from ${first} on: every invariant holds, and the healed core goes on`, async (t) => {
  const sums = { messages: 0, heights: 0, realCrypto: 0 };
  const { failures, seeds, reached, misdeeds, simulatedS, wallS } = await campaign({
    jobs: seedsFrom(first, count),
    onSeed: (seed) => {
      sums.messages += seed.messages;
      sums.heights += seed.heights;
      if (seed.isRealCrypto) sums.realCrypto++;
    },
  });
  t.diagnostic(`${simulatedS.toFixed(0)} simulated seconds in ${wallS.toFixed(0)} s`);
  t.diagnostic(`${sums.messages} messages, ${sums.heights} heights ordered`);
  t.diagnostic([...reached].map(([state, hits]) => `${state}: ${hits}`).join(", "));
  assert.deepEqual(failures.map(told), []);
  assert.equal(seeds, count);
  assert.ok(sums.messages > 6 * count && sums.heights > count, "clients are served");
  const least = Math.floor(count / 100);
  for (const state of sometimes)
    assert.ok((reached.get(state) ?? 0) >= least, `${reached.get(state)} seeds reach: ${state}`);
  if (count < 500) return;
  assert.ok(sums.realCrypto > 0, "some seeds use real signatures");
  for (const name of adversaryNames) assert.ok(misdeeds.has(name), `${name} cheats in some seed`);
});
