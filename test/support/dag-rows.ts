import type { CommitRule } from "../../src/core/dag/index.ts";
import type { Row } from "./dag-trial.ts";
import { ruleOf } from "./dag-world.ts";

const row = (leaders: number, rule: CommitRule): Row => ({
  name: `${rule.name} n=${rule.n} f=${rule.f} c=${rule.c} k=${rule.k} L=${leaders}`,
  rule,
  leaders,
});

/** The sound rows of the fuzz. */
export const rows: readonly Row[] = [
  row(1, ruleOf("three", 4, 1)),
  row(4, ruleOf("three", 4, 1)),
  row(2, ruleOf("three", 7, 2)),
  row(1, ruleOf("dual", 4, 1)),
  row(4, ruleOf("dual", 4, 1)),
  row(2, ruleOf("dual", 5, 1, 0, 1)),
  row(2, ruleOf("dual", 6, 1, 0, 2)),
  row(6, ruleOf("dual", 6, 1, 0, 2)),
  row(2, ruleOf("dual", 7, 1, 1, 1)),
  row(2, ruleOf("dual", 7, 2)),
  row(1, ruleOf("two", 6, 1)),
  row(6, ruleOf("two", 6, 1)),
  row(2, ruleOf("two", 9, 1, 1)),
];

/** A row made wrong on purpose, past every check, and the line of A1–A8 that forbids it. */
export interface Mutant extends Row {
  readonly forbiddenBy: string;
}

const mutant = (name: string, forbiddenBy: string, rule: CommitRule): Mutant => ({
  name,
  rule,
  leaders: 1,
  forbiddenBy,
});

const three = ruleOf("three", 4, 1);
const dual = ruleOf("dual", 4, 1);
const two = ruleOf("two", 6, 1);

export const mutants: readonly Mutant[] = [
  mutant("dual n=4 skipQ=2f+1", "RULE_A6", { ...dual, skipQuorum: 3 }),
  mutant("dual n=4 fastQ=3", "RULE_A3", { ...dual, fastQuorum: 3 }),
  mutant("three n=4 commitQ=1", "RULE_A5", { ...three, commitQuorum: 1 }),
  mutant("three n=4 commitQ=2", "RULE_A5", { ...three, commitQuorum: 2 }),
  mutant("three n=4 certQ=2", "RULE_A1", { ...three, certificateQuorum: 2 }),
  mutant("three n=4 skipQ=2", "RULE_A6", { ...three, skipQuorum: 2 }),
  mutant("three n=4 depth 2", "RULE_DEPTH", { ...three, depth: 2 }),
  mutant("two n=5", "RULE_A4", { ...two, n: 5, parentQuorum: 4, fastQuorum: 4, skipQuorum: 4 }),
  mutant("two n=4", "RULE_A4", { ...two, n: 4, parentQuorum: 3, fastQuorum: 3, skipQuorum: 3 }),
];

/** Two mutants of their own kind: no line forbids the first; the second falls slowly. */
export const withoutWeakRung: Mutant = mutant("dual n=4 without the weak rung", "RULE_A4", {
  ...dual,
  weakQuorum: undefined,
});
export const slowMutants: readonly Mutant[] = [
  mutant("dual n=4 weakQ=3", "RULE_A4", { ...dual, weakQuorum: 3 }),
  mutant("dual n=7 f1c1k1 skipQ=5", "RULE_A6", { ...ruleOf("dual", 7, 1, 1, 1), skipQuorum: 5 }),
];
