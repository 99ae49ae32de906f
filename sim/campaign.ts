import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { PlanOptions } from "./plan.ts";

/** A seed's result as it comes from a worker. */
export interface SeedResult {
  readonly seed: number;
  readonly options: PlanOptions;
  readonly plan: string;
  readonly failure: string | undefined;
  readonly simulatedMs: number;
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

const workerFile = fileURLToPath(new URL("./worker.js", import.meta.url));

/** Runs jobs in as many threads as there are cores, until there are no more or the time is over. */
export async function campaign(options: {
  readonly jobs: Iterator<Job>;
  /** Wall-clock milliseconds after which no job is begun. */
  readonly forMs?: number;
  readonly onSeed?: (result: SeedResult, done: number) => void;
}): Promise<CampaignResult> {
  const startedMs = performance.now();
  const results = { seeds: 0, simulatedMs: 0, failures: [] as SeedResult[] };
  const reached = new Map<string, number>();
  const misdeeds = new Map<string, number>();
  const take = (): Job | undefined => {
    if (performance.now() - startedMs > (options.forMs ?? Number.POSITIVE_INFINITY))
      return undefined;
    const next = options.jobs.next();
    return next.done === true ? undefined : next.value;
  };
  const onResult = (result: SeedResult): void => {
    results.seeds++;
    results.simulatedMs += result.simulatedMs;
    if (result.failure !== undefined) results.failures.push(result);
    for (const state of result.reached) reached.set(state, (reached.get(state) ?? 0) + 1);
    for (const name of result.misdeeds) misdeeds.set(name, (misdeeds.get(name) ?? 0) + 1);
    options.onSeed?.(result, results.seeds);
  };
  await Promise.all(
    Array.from({ length: availableParallelism() }, () => runThread(take, onResult)),
  );
  return {
    seeds: results.seeds,
    simulatedS: results.simulatedMs / 1000,
    wallS: (performance.now() - startedMs) / 1000,
    failures: results.failures,
    reached,
    misdeeds,
  };
}

function runThread(
  take: () => Job | undefined,
  onResult: (result: SeedResult) => void,
): Promise<void> {
  const worker = new Worker(workerFile);
  const ask = (): void => {
    const job = take();
    if (job === undefined) void worker.terminate();
    else worker.postMessage(job);
  };
  return new Promise((resolve, reject) => {
    worker.on("message", (result: SeedResult) => {
      onResult(result);
      ask();
    });
    worker.once("error", reject);
    worker.once("exit", () => resolve());
    ask();
  });
}

/** The seeds from `first` on. */
export function* seedsFrom(first: number, count = Number.POSITIVE_INFINITY): Generator<Job> {
  for (let i = 0; i < count; i++) yield { seed: first + i, options: {} };
}
