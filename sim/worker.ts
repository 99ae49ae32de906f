import { parentPort } from "node:worker_threads";
import type { Job, SeedResult } from "./campaign.ts";
import { describePlan, planOf } from "./plan.ts";
import { runPlan } from "./run.ts";
import { runSchedules, type SchedulesJob } from "./schedules.ts";

/** A thread of a campaign: one job after the other. */
parentPort?.on("message", async (job: Job | SchedulesJob) =>
  parentPort?.postMessage("seed" in job ? await resultOf(job) : runSchedules(job)),
);

async function resultOf({ seed, options }: Job): Promise<SeedResult> {
  const plan = planOf(seed, options);
  const about = { seed, options, plan: describePlan(plan), isRealCrypto: plan.isRealCrypto };
  try {
    const { failure, simulatedMs, trace, reached, misdeeds, messages, heights } =
      await runPlan(plan);
    const states = { reached: [...reached.keys()], misdeeds: [...misdeeds.keys()] };
    return { ...about, failure, simulatedMs, trace, messages, heights, ...states };
  } catch (error) {
    const failure = `crash of the simulation: ${error instanceof Error ? error.stack : String(error)}`;
    const nothing = { simulatedMs: 0, trace: "", messages: 0, heights: 0 };
    return { ...about, failure, ...nothing, reached: [], misdeeds: [] };
  }
}
