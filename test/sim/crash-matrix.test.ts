import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf, runPlan, troubles } from "../../sim/index.ts";

/** Steps of writer 0's disk: its first start, its first rounds, and far into its life. */
const every = Array.from({ length: 12 }, (_, i) => i + 1);
const steps = [...every, 17, 24, 40, 77, 120, 200, 333];

for (const what of ["crash-before", "crash-after", "eio", "enospc", "short"] as const) {
  test(`${what} at each of ${steps.length} durable steps of a writer: nothing acknowledged is lost, no round signed twice`, async () => {
    let reached = 0;
    for (const step of steps) {
      const options = { n: 4, cheats: 0, off: troubles, stormMs: 6000, fault: { step, what } };
      let fired = false;
      const { failure } = await runPlan(planOf(step, options), (world) => {
        world.onNote = ({ kind, host }) => {
          fired ||= kind === "down" && host === "w0";
        };
      });
      assert.equal(failure, undefined, `${what} at step ${step}`);
      if (fired) reached++;
    }
    // A short write strikes only where something is written.
    assert.ok(reached >= (what === "short" ? 5 : 14), `the fault struck in ${reached} runs`);
  });
}
