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
  miscosigner: /OTHER_ROOT/,
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
      for (const seed of [1, 2]) {
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

test("control: with more twins than the row bears the checks see a fork, and the proofs name them all", async (t) => {
  let forks = 0;
  let named = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const options = { n: 4, adversary: "twins", cheats: 2, off: troubles, stormMs: 15_000 };
    const { failure, culprits, plan } = await runPlan(planOf(seed, options));
    for (const author of culprits)
      assert.ok(plan.corrupt.has(author), `seed ${seed}: ${author} is honest`);
    if (failure?.startsWith("I1 ") !== true) continue;
    forks++;
    if (culprits.length === plan.corrupt.size) named++;
  }
  t.diagnostic(`${forks} of 8 seeds fork; in ${named} of them both are proven`);
  assert.ok(forks > 0, "the checks see a fork when there is one");
  assert.equal(named, forks, "a fork exposes f + 1 writers");
});
