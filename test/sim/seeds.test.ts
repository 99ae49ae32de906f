import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  adversaryNames,
  campaign,
  commandOf,
  type Job,
  malloryTricks,
  neverReached,
  type SeedResult,
  seedsFrom,
} from "../../sim/index.ts";

const corpus = JSON.parse(
  readFileSync(new URL("../../../sim/corpus.json", import.meta.url), "utf8"),
) as readonly (Job & { readonly was: string })[];

// So many in each run: enough that every state and every cheat comes about. Longer: npm run sim:campaign.
const { SMALTI_SIM_FIRST: firstSeed = "1000", SMALTI_SIM_SEEDS: seedCount = "100" } = process.env;
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
  assert.deepEqual(neverReached(reached, seeds), []);
  if (count < 100) return;
  assert.ok(sums.realCrypto > 0, "some seeds use real signatures");
  for (const trick of malloryTricks)
    assert.ok(misdeeds.has(`publisher: ${trick}`), `mallory tries ${trick} in some seed`);
  for (const outcome of ["malformed", "not-permitted", "over-quota", "published"])
    assert.ok(reached.has(`mallory's update is ${outcome}`), outcome);
  // That each one cheats, a test of its own shows.
  const idle = adversaryNames.filter((name) => !misdeeds.has(name));
  assert.ok(idle.length <= 3, `nearly all cheats come about, but for ${idle.join(", ")}`);
});
