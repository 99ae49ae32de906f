import { assert, limits } from "../base/index.ts";

/** What a committee is built to survive: of n writers f Byzantine, c crash-only, and k slack (`dag.md` §1). */
export interface FaultBudget {
  readonly n: number;
  readonly f: number;
  readonly c: number;
  readonly k: number;
}

/** Largest f with n ≥ 3f+1. */
export function faultsTolerated(n: number): number {
  assert(
    Number.isInteger(n) && n >= 1 && n <= limits.committeeWritersMax,
    "a committee has 1…64 writers",
  );
  return Math.floor((n - 1) / 3);
}

/** n − f − c: two such sets share a correct writer, and as many answer while f lie and c are down. */
export function quorumOf({ n, f, c }: FaultBudget): number {
  return n - f - c;
}
