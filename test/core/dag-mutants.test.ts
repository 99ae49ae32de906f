import assert from "node:assert/strict";
import { test } from "node:test";
import { checkRule } from "../../src/core/dag/index.ts";
import { mutants, rows, slowMutants, withoutWeakRung } from "../support/dag-rows.ts";
import { disagreement, optionsOf, type Row } from "../support/dag-trial.ts";

/** Trials until two views of one DAG disagree. */
function trialsUntilRed(row: Row, most: number): number | undefined {
  const options = optionsOf(row, { views: 8 });
  for (let i = 0; i < most; i++)
    if (disagreement(options, i * 13 + 1).fault !== undefined) return i + 1;
  return undefined;
}

const most = 20_000;
const found = [
  ...mutants,
  withoutWeakRung,
  ...slowMutants.filter(({ name }) => name.includes("skipQ")),
];

for (const mutant of found) {
  test(`the fuzz finds the mutant ${mutant.name} within ${most} DAGs`, () => {
    assert.notEqual(
      trialsUntilRed(mutant, most),
      undefined,
      "the mutant survived: the fuzz is blunt",
    );
  });
}

for (const { name, rule, forbiddenBy } of [...mutants, ...slowMutants]) {
  test(`checkRule refuses ${name} by ${forbiddenBy}`, () => {
    const checked = checkRule(rule);
    assert.equal(checked.ok ? "accepted" : checked.error.code, forbiddenBy);
  });
}

test("checkRule accepts every sound row", () => {
  for (const { name, rule } of rows) assert.ok(checkRule(rule).ok, name);
});
