import { type Plan, type PlanOptions, planOf, type Trouble } from "./plan.ts";
import { type Outcome, runPlan } from "./run.ts";

/** A failing seed made smaller: troubles off one by one, then a shorter storm, while it goes on failing alike. */
export async function shrink(
  seed: number,
  options: PlanOptions,
  failed: Outcome,
): Promise<{ readonly options: PlanOptions; readonly outcome: Outcome }> {
  const rule = invariantOf(failed);
  let best = { options, outcome: failed };
  const tryOut = async (next: PlanOptions): Promise<void> => {
    const outcome = await runPlan(planOf(seed, next));
    if (invariantOf(outcome) === rule) best = { options: next, outcome };
  };
  for (const trouble of best.outcome.plan.troubles)
    await tryOut({ ...best.options, off: [...(best.options.off ?? []), trouble] });
  for (const stormMs of [20_000, 10_000, 5000]) await tryOut({ ...best.options, stormMs });
  return best;
}

function invariantOf(outcome: Outcome): string | undefined {
  return outcome.failure?.split(" ")[0];
}

/** The one command that repeats a seed. */
export function commandOf(plan: Pick<Plan, "seed">, options: PlanOptions): string {
  const parts = [`smalti simulate --seed ${plan.seed}`];
  if (options.n !== undefined) parts.push(`--writers ${options.n}`);
  if (options.adversary !== undefined) parts.push(`--adversary ${options.adversary}`);
  if (options.stormMs !== undefined) parts.push(`--storm ${options.stormMs / 1000}`);
  if (options.cheats !== undefined) parts.push(`--cheats ${options.cheats}`);
  if (options.readers !== undefined) parts.push(`--readers ${options.readers}`);
  const { fault } = options;
  if (fault !== undefined) parts.push(`--fault ${fault.what}@${fault.host}:${fault.step}`);
  const off: readonly Trouble[] = options.off ?? [];
  if (off.length > 0) parts.push(`--off ${off.join(",")}`);
  return parts.join(" ");
}
