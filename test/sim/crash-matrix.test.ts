import assert from "node:assert/strict";
import { test } from "node:test";
import { campaign, commandOf, diskFaults, type Job, troubles } from "../../sim/index.ts";

/** Every step of the first start and of the first rounds, and some far into the life of a host. */
const every = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

const rows = [
  { host: "w0", says: "a writer", steps: [...every(20), 31, 55, 120] },
  { host: "r0", says: "a reader", steps: [...every(10), 20] },
];

/** A misdirected write may cost the disk: seeds have it, with an operator who gives an empty one. */
const faults = diskFaults.filter((what) => what !== "misdirected");

for (const { host, says, steps } of rows) {
  test(`each fault at each of ${steps.length} durable steps of ${says}: nothing acknowledged is lost, no round signed twice`, async (t) => {
    const jobs = faults.flatMap((what) =>
      steps.map((step): Job => {
        const fault = { host, step, what };
        const options = { n: 4, cheats: 0, readers: 1, off: troubles, stormMs: 5000, fault };
        return { seed: step, options };
      }),
    );
    const result = await campaign({ jobs: jobs.values() });
    const told = result.failures.map(
      ({ seed, options, failure }) => `${failure}\nrepeat it with: ${commandOf({ seed }, options)}`,
    );
    assert.deepEqual(told, []);
    assert.equal(result.seeds, jobs.length);
    const struck = result.reached.get("the planned fault") ?? 0;
    t.diagnostic(`the fault struck in ${struck} of ${jobs.length} runs`);
    assert.ok(struck > 0.8 * jobs.length, "faults strike");
  });
}
