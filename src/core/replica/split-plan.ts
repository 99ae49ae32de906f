import { type Author, fail, type Result } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import type { Verifier } from "../crypto/index.ts";
import { divide, matrixKey, type SignedStatement, type Statement } from "../opinion/index.ts";
import { encodePlan, hostilityOf, type SplitParent, type SplitPlan } from "../split/index.ts";

/** What a plan is made from: what this host knows and was told. */
export interface PlanParts {
  readonly network: Network;
  readonly verifier: Verifier;
  readonly self: Author;
  /** The newest certified checkpoint, and the state there. */
  readonly parent: SplitParent;
  /** Signed now by this host, and told by others. */
  readonly statements: readonly SignedStatement[];
  readonly convicted: ReadonlyMap<Author, Uint8Array>;
  readonly reachable: ReadonlySet<Author>;
  readonly stalledMs: number;
  readonly splitAfterMs: number;
}

/**
 * Proposes who would be with whom (`dag.md` §17): only once acceptance has stood still for long, and no side has the
 * quorum. Faults: NOT_STALLED, and those of {@link divide}.
 */
export function proposeSplit(parts: PlanParts): Result<SplitPlan> {
  const { network, stalledMs, splitAfterMs, convicted } = parts;
  if (stalledMs < splitAfterMs)
    return fail(
      "NOT_STALLED",
      stalledMs === 0
        ? "nothing waits to be ordered, or it is being ordered: there is no reason to split"
        : `acceptance has stood still for ${Math.floor(stalledMs / 1000)} s; a split may be proposed after ${Math.ceil(splitAfterMs / 1000)} s`,
    );
  const newest = new Map<string, SignedStatement>();
  for (const signed of parts.statements) {
    const key = matrixKey(signed.statement.by, signed.statement.about);
    if ((newest.get(key)?.statement.serial ?? -1) < signed.statement.serial)
      newest.set(key, signed);
  }
  const dead = [...newest.values()].filter(({ statement }) => statement.opinion === "dead");
  const members = network.writers.map(({ index }) => index).filter((one) => !convicted.has(one));
  const division = divide({
    members,
    hostile: hostilityOf(dead.map(({ statement }) => statement)),
    reaches: reachFrom(
      parts,
      [...newest.values()].map(({ statement }) => statement),
    ),
    quorum: network.quorum,
  });
  if (division.kind === "refused") return fail(division.code, division.detail);
  return {
    ok: true,
    value: encodePlan({
      parent: parts.parent,
      sides: division.sides,
      statements: dead.map(({ wire }) => wire),
      evidence: [...convicted.values()],
    }),
  };
}

/** Whether two hear one another, as far as this host knows: by its own links, and by what others say. */
function reachFrom(
  { self, reachable }: PlanParts,
  statements: readonly Statement[],
): (a: Author, b: Author) => boolean {
  const late = new Set(
    statements.filter(({ opinion }) => opinion !== "ok").map(({ by, about }) => `${by}/${about}`),
  );
  return (a, b) => {
    if (a === self) return reachable.has(b);
    if (b === self) return reachable.has(a);
    return !late.has(`${a}/${b}`) && !late.has(`${b}/${a}`);
  };
}
