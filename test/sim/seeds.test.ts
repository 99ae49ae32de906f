import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { campaign, commandOf, type Job, type SeedResult, seedsFrom } from "../../sim/index.ts";

const corpus = JSON.parse(
  readFileSync(new URL("../../../sim/corpus.json", import.meta.url), "utf8"),
) as readonly (Job & { readonly was: string })[];

const { SMALTI_SIM_FIRST: firstSeed = "1000", SMALTI_SIM_SEEDS: seedCount = "30" } = process.env;
const [first, count] = [Number(firstSeed), Number(seedCount)];

function told({ seed, options, plan, failure }: SeedResult): string {
  return `${plan}\n${failure}\nrepeat it with: ${commandOf({ seed }, options)}`;
}

test("seeds that once failed", async () => {
  const { failures, seeds } = await campaign({ jobs: corpus.values() });
  assert.equal(seeds, corpus.length);
  assert.deepEqual(failures.map(told), []);
});

test(`${count} seeds from ${first} on: every invariant holds, and the healed core goes on`, async (t) => {
  const { failures, seeds, reached, simulatedS, wallS } = await campaign({
    jobs: seedsFrom(first, count),
  });
  assert.equal(seeds, count);
  assert.deepEqual(failures.map(told), []);
  t.diagnostic(`${simulatedS.toFixed(0)} simulated seconds in ${wallS.toFixed(0)} s`);
  t.diagnostic([...reached].map(([state, hits]) => `${state}: ${hits}`).join(", "));
  // A campaign that never gets into trouble proves nothing.
  for (const state of [
    "evidence: equivocation",
    "a host that may not sign after a restart",
    "wrong content refused",
    "started again after a disk error",
  ])
    assert.ok(reached.has(state), `some seed reaches: ${state}`);
});
