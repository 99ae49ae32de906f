import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf, runPlan } from "../../sim/index.ts";
import { smalti } from "../support/net.ts";

for (const seed of [3, 17]) {
  test(`seed ${seed}: twice in this process and once in another, one execution`, async () => {
    const options = { n: 4, stormMs: 10_000 };
    const [one, two] = [await runPlan(planOf(seed, options)), await runPlan(planOf(seed, options))];
    assert.equal(one.trace, two.trace);
    const args = ["simulate", "--seed", String(seed), "--writers", "4", "--storm", "10"];
    const { stdout, code, stderr } = await smalti([...args, "-o", "json"]);
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { trace: string }).trace, one.trace);
    assert.notEqual((await runPlan(planOf(seed + 1, options))).trace, one.trace);
  });
}
