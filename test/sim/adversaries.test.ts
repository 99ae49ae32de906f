import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type AdversaryName,
  adversaries,
  adversaryNames,
  planOf,
  runPlan,
  troubles,
} from "../../sim/index.ts";

/** What a cheater leaves behind at honest hosts, beside its own misdeeds. */
const traces: Partial<Record<AdversaryName, RegExp>> = {
  twins: /evidence: equivocation/,
  equivocator: /evidence: equivocation/,
  mutator: /evidence: invalid-block/,
  miscosigner: /evidence: contradicting-checkpoint/,
  futurist: /FAR_FUTURE/,
  garbler: /MALFORMED|NOT_CANONICAL|BAD_SIGNATURE|WRONG_PAYLOAD/,
  replayer: /REPEATED_ROUND|SECOND_HELLO|NOT_ASKED|NOT_WANTED/,
};

describe("each cheater cheats, and the others bear it", () => {
  test("every name has its cheater", () => {
    assert.deepEqual(adversaries.map(({ name }) => name).sort(), [...adversaryNames].sort());
  });

  for (const { name, says } of adversaries) {
    test(`${name}: ${says}`, async () => {
      const seen: string[] = [];
      for (const seed of [1, 2, 3]) {
        const options = { n: 4, adversary: name, off: troubles, stormMs: 12_000 };
        const outcome = await runPlan(planOf(seed, options), (world) => {
          world.onDropped = (code) => seen.push(code);
        });
        assert.equal(outcome.failure, undefined, `seed ${seed}`);
        assert.ok((outcome.misdeeds.get(name) ?? 0) > 0, `seed ${seed}: it cheats`);
        seen.push(...outcome.reached.keys());
      }
      const trace = traces[name];
      if (trace !== undefined) assert.match(seen.join("\n"), trace);
    });
  }
});

test("control: with more twins than the row bears, some host sees another history, and the proofs name them", async () => {
  const diverged: string[] = [];
  for (let seed = 1; seed <= 40 && diverged.length === 0; seed++) {
    const options = { n: 4, adversary: "twins", cheats: 2, off: troubles, stormMs: 30_000 };
    const { failure, culprits, plan } = await runPlan(planOf(seed, options));
    if (failure === undefined || !/^(I1|I2|I9|H) /.test(failure)) continue;
    diverged.push(failure);
    assert.ok(culprits.length >= 2, `the proofs name ${culprits.join(", ")}: ${failure}`);
    for (const author of culprits) assert.ok(plan.corrupt.has(author));
  }
  assert.equal(diverged.length, 1, "the checks see a fork when there is one");
});
