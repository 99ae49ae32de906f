import assert from "node:assert/strict";
import { test } from "node:test";
import { allSchedules } from "../../sim/index.ts";

test("twins: every division of five instances of four writers, in each of four rounds", async (t) => {
  const { run, failures } = await allSchedules({ leaders: 2, twin: 0 });
  t.diagnostic(`${run} schedules, of 65 536 without the mirrored ones`);
  assert.ok(run > 32_000);
  assert.deepEqual(failures, []);
});
