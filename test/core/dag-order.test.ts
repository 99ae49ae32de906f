import assert from "node:assert/strict";
import { test } from "node:test";
import { rows } from "../support/dag-rows.ts";
import { optionsOf, trial } from "../support/dag-trial.ts";

// dag.md §0: D ⊂ D′ ⇒ Order(D) is a prefix of Order(D′), and both are what the dumb twin says.
// A longer search with the same generator: test/campaign/dag-fuzz.ts.
const trials = 1000;

for (const row of rows) {
  test(`${row.name}: ${trials} random DAGs, four views each: one order, the twin's`, () => {
    let commits = 0;
    for (let seed = 0; seed < trials; seed++) {
      const gcRounds = 3 + (seed % 4);
      // Every third with commits that are cut.
      const blocksMax = seed % 3 === 0 ? 1 + (seed % 7) : undefined;
      const outcome = trial({ ...optionsOf(row, { gcRounds }), blocksMax }, seed);
      assert.equal(
        outcome.fault,
        undefined,
        `${row.name}, seed ${seed}, gcRounds ${gcRounds}: ${outcome.fault}`,
      );
      commits += outcome.commits;
    }
    assert.ok(
      commits >= trials,
      `only ${commits} commits in ${trials} trials: the search was idle`,
    );
  });
}
