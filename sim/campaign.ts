import type { PlanOptions } from "./plan.ts";
import { inThreads } from "./threads.ts";

/** A seed's result as it comes from a worker. */
export interface SeedResult {
  readonly seed: number;
  readonly options: PlanOptions;
  readonly plan: string;
  readonly failure: string | undefined;
  readonly isRealCrypto: boolean;
  readonly simulatedMs: number;
  readonly messages: number;
  readonly heights: number;
  readonly trace: string;
  readonly reached: readonly string[];
  readonly misdeeds: readonly string[];
}

export interface CampaignResult {
  readonly seeds: number;
  readonly simulatedS: number;
  readonly wallS: number;
  readonly failures: readonly SeedResult[];
  /** State → seeds that reached it. */
  readonly reached: ReadonlyMap<string, number>;
  readonly misdeeds: ReadonlyMap<string, number>;
}

/** One seed and what is fixed of its plan. */
export interface Job {
  readonly seed: number;
  readonly options: PlanOptions;
}

/** One seed in so many is run a second time, as a rule in another thread, and must go the same way. */
const secondRunEvery = 50;

/** Runs jobs in as many threads as there are cores, until there are no more or the time is over. */
export async function campaign(options: {
  readonly jobs: Iterator<Job>;
  /** Wall-clock milliseconds after which no job is begun. */
  readonly forMs?: number;
  readonly onSeed?: (result: SeedResult, done: number) => void;
}): Promise<CampaignResult> {
  const startedMs = performance.now();
  const endMs = startedMs + (options.forMs ?? Number.POSITIVE_INFINITY);
  const tally = new Tally();
  const take = (): Job | undefined => {
    const again = tally.again.pop();
    if (again !== undefined || performance.now() > endMs) return again;
    const next = options.jobs.next();
    return next.done === true ? undefined : next.value;
  };
  await inThreads<Job, SeedResult>(take, (result) => {
    if (tally.count(result)) options.onSeed?.(result, tally.seeds);
  });
  const { seeds, simulatedMs, failures, reached, misdeeds } = tally;
  const wallS = (performance.now() - startedMs) / 1000;
  return { seeds, simulatedS: simulatedMs / 1000, wallS, failures, reached, misdeeds };
}

/** Adds up what seeds came to, and has some of them run once more. */
class Tally {
  seeds = 0;
  simulatedMs = 0;
  readonly failures: SeedResult[] = [];
  readonly reached = new Map<string, number>();
  readonly misdeeds = new Map<string, number>();
  readonly again: Job[] = [];
  readonly #traces = new Map<number, string>();

  /** False for a second run of a seed. */
  count(result: SeedResult): boolean {
    const { seed, trace, failure, reached, misdeeds } = result;
    const first = this.#traces.get(seed);
    if (first !== undefined) {
      this.#traces.delete(seed);
      if (first !== trace)
        this.failures.push({ ...result, failure: "D: the same seed ran in two ways" });
      return false;
    }
    this.seeds++;
    this.simulatedMs += result.simulatedMs;
    if (failure !== undefined) this.failures.push(result);
    else if (seed % secondRunEvery === 0) this.#runAgain(result);
    for (const state of reached) this.reached.set(state, (this.reached.get(state) ?? 0) + 1);
    for (const name of misdeeds) this.misdeeds.set(name, (this.misdeeds.get(name) ?? 0) + 1);
    return true;
  }

  #runAgain({ seed, options, trace }: SeedResult): void {
    this.#traces.set(seed, trace);
    this.again.push({ seed, options });
  }
}

/** The seeds from `first` on. */
export function* seedsFrom(first: number, count = Number.POSITIVE_INFINITY): Generator<Job> {
  for (let i = 0; i < count; i++) yield { seed: first + i, options: {} };
}
