import { fail, limits, ok, type Result } from "../base/index.ts";
import { type FaultBudget, faultsTolerated } from "../consensus/index.ts";

/** Which row of the commit rule a committee uses. */
export type RuleName = "three" | "two" | "dual";

/**
 * One row of the commit rule: every quorum counts distinct authors; a quorum that a row does not use is
 * `undefined`. Sources: Mysticeti-C (THREE), Odontoceti (TWO), Hydrangea on a DAG (DUAL); `dag.md` §1.
 */
export interface CommitRule extends FaultBudget {
  readonly name: RuleName;
  /** Parents at r−1 of a valid block; advances the round clock. */
  readonly parentQuorum: number;
  /** Votes at r+1 that a block at r+2 must reference to be a certificate. */
  readonly certificateQuorum: number | undefined;
  /** Certificates at r+2 for the slow direct commit. */
  readonly commitQuorum: number | undefined;
  /** Votes at r+1 for the fast direct commit. */
  readonly fastQuorum: number | undefined;
  /** Non-votes at r+1 for the direct skip. */
  readonly skipQuorum: number;
  /** Votes linked from the anchor for the second indirect rung. */
  readonly weakQuorum: number | undefined;
  /** Least distance of an anchor, in rounds. */
  readonly depth: number;
}

type Build = (budget: FaultBudget) => CommitRule;

const rows: Readonly<Record<RuleName, Build>> = {
  three: (budget) => {
    const quorum = budget.n - budget.f;
    return {
      ...budget,
      name: "three",
      parentQuorum: quorum,
      certificateQuorum: quorum,
      commitQuorum: quorum,
      fastQuorum: undefined,
      skipQuorum: quorum,
      weakQuorum: undefined,
      depth: 3,
    };
  },
  two: (budget) => {
    const quorum = budget.n - budget.f - budget.c;
    return {
      ...budget,
      name: "two",
      parentQuorum: quorum,
      certificateQuorum: undefined,
      commitQuorum: undefined,
      fastQuorum: quorum,
      skipQuorum: quorum,
      weakQuorum: 2 * budget.f + budget.c + 1,
      depth: 2,
    };
  },
  dual: (budget) => {
    const slack = Math.floor((budget.c + budget.k) / 2);
    return {
      ...budget,
      name: "dual",
      parentQuorum: budget.n - budget.f - budget.c,
      certificateQuorum: Math.floor((budget.n + budget.f + 2) / 2),
      commitQuorum: 2 * budget.f + budget.c + 1,
      fastQuorum: budget.n - slack,
      skipQuorum: budget.n - slack,
      weakQuorum: budget.f + slack + 1,
      depth: 3,
    };
  },
};

const fewestWriters: Readonly<Record<RuleName, (b: FaultBudget) => number>> = {
  three: ({ f }) => 3 * f + 1,
  two: ({ f, c }) => 5 * f + 3 * c + 1,
  dual: ({ f, c, k }) => 3 * f + 2 * c + k + 1,
};

/** The row for a budget, or why it cannot be safe: RULE_BUDGET, or the first broken line of A1–A8. */
export function commitRule(name: RuleName, budget: FaultBudget): Result<CommitRule> {
  const fault = sizeFault(budget) ?? slackFault(name, budget);
  return fault === undefined ? checkRule(rows[name](budget)) : fail("RULE_BUDGET", fault);
}

function sizeFault({ n, f, c, k }: FaultBudget): string | undefined {
  const isNatural = (count: number): boolean => Number.isInteger(count) && count >= 0;
  if (![n, f, c, k].every(isNatural)) return "n, f, c and k are natural numbers";
  if (n < 1 || n > limits.committeeWritersMax) return "a committee has 1…64 writers";
  return n > 1 && f < 1 ? "a committee of several writers tolerates at least one fault" : undefined;
}

function slackFault(name: RuleName, budget: FaultBudget): string | undefined {
  const { n, f, c, k } = budget;
  if (name === "three" && c + k > 0)
    return "three has no crash-only budget and no slack: c = k = 0";
  if (name === "two" && k > 0) return "two has no slack: k = 0";
  const fewest = fewestWriters[name](budget);
  return n < fewest
    ? `${name} with f=${f} c=${c} k=${k} needs ${fewest} writers, not ${n}`
    : undefined;
}

/** Asserts the lines A1–A8 of `dag.md` §1 that the row's quorums use. */
// biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one line a rule, as in the paper
export function checkRule(rule: CommitRule): Result<CommitRule> {
  const {
    n,
    f,
    certificateQuorum: cert,
    commitQuorum: commit,
    fastQuorum: fast,
    weakQuorum: weak,
  } = rule;
  const bound = n + f;
  const survivors = Math.min(weak ?? Infinity, cert ?? Infinity);
  const lines: readonly (readonly [name: string, holds: boolean, why: string])[] = [
    ["A1", cert === undefined || 2 * cert > bound, "a slot has one certificate"],
    [
      "A2",
      cert === undefined || fast === undefined || cert + fast > bound,
      "a fast commit excludes a rival certificate",
    ],
    [
      "A3",
      fast === undefined || (weak !== undefined && fast + weak > bound),
      "a fast commit starves rivals",
    ],
    [
      "A4",
      fast === undefined || weak === undefined || fast + rule.parentQuorum - bound >= weak,
      "a fast commit survives in any anchor",
    ],
    [
      "A5",
      commit === undefined || commit + rule.parentQuorum > bound,
      "a slow commit leaves a certificate in any anchor",
    ],
    ["A6", n - rule.skipQuorum + f < survivors, "a direct skip is never overturned"],
    [
      "A7",
      fast === undefined || fast + rule.skipQuorum > bound,
      "fast commit and skip exclude one another",
    ],
    ["A8", rule.parentQuorum >= f + 1, "parents include a correct writer"],
  ];
  const broken = lines.find(([, holds]) => !holds);
  if (broken !== undefined)
    return fail(`RULE_${broken[0]}`, `the row ${rule.name} breaks ${broken[0]}: ${broken[2]}`);
  if (rule.depth < (cert === undefined ? 2 : 3))
    return fail("RULE_DEPTH", "an anchor stands beyond the votes it counts");
  return ok(rule);
}

/** The default row: THREE, which keeps the promise of f in 3f+1 for every n. */
export function defaultRule(n: number): { readonly name: RuleName; readonly budget: FaultBudget } {
  return { name: "three", budget: { n, f: faultsTolerated(n), c: 0, k: 0 } };
}

/**
 * The row of a group that is left after a split: two or three writers cannot bear a traitor, and need not: they stop
 * when one fails, and stay safe as long as none cheats.
 */
export function fractionRule(n: number): Result<CommitRule> {
  return checkRule(rows.three({ n, f: faultsTolerated(n), c: 0, k: 0 }));
}

/** Leader slots a round for a committee of `n`: all of a small one, else three. */
export function defaultLeaders(n: number): number {
  return n <= 4 ? n : 3;
}
