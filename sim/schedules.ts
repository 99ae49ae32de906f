import { inThreads } from "./threads.ts";
import { mirrored, splitsPerRound, TwinsScenario, twinsConfig } from "./twins.ts";

const rounds = 4;
const schedules = splitsPerRound ** rounds;
const chunk = 512;

/** A part of all schedules, by number: the splits of the rounds are its digits. */
export interface SchedulesJob {
  readonly from: number;
  readonly leaders: number;
  readonly twin: number;
}

export interface SchedulesResult {
  readonly run: number;
  readonly failures: readonly string[];
}

function splitsOf(schedule: number): number[] {
  const splits: number[] = [];
  for (let rest = schedule, i = 0; i < rounds; i++) {
    splits.push(rest % splitsPerRound);
    rest = Math.floor(rest / splitsPerRound);
  }
  return splits;
}

function numberOf(splits: readonly number[]): number {
  return splits.reduceRight((number, split) => number * splitsPerRound + split, 0);
}

/** Runs a part; of two schedules that differ by which copy is called the first, one is run. */
export function runSchedules({ from, leaders, twin }: SchedulesJob): SchedulesResult {
  const config = twinsConfig(leaders);
  const failures: string[] = [];
  let run = 0;
  for (let schedule = from; schedule < Math.min(from + chunk, schedules); schedule++) {
    const splits = splitsOf(schedule);
    if (numberOf(splits.map(mirrored)) < schedule) continue;
    run++;
    const { failure } = new TwinsScenario(config, splits, twin).run();
    if (failure !== undefined)
      failures.push(
        `splits ${splits.join(" ")}, writer ${twin} twice, ${leaders} leaders: ${failure}`,
      );
  }
  return { run, failures };
}

/** Every way to divide five instances of four writers, in each of four rounds. */
export async function allSchedules(about: Omit<SchedulesJob, "from">): Promise<SchedulesResult> {
  const failures: string[] = [];
  let from = 0;
  let run = 0;
  const take = (): SchedulesJob | undefined => {
    if (from >= schedules) return undefined;
    from += chunk;
    return { ...about, from: from - chunk };
  };
  await inThreads<SchedulesJob, SchedulesResult>(take, (result) => {
    run += result.run;
    failures.push(...result.failures);
  });
  return { run, failures };
}
