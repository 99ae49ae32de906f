import { parentPort } from "node:worker_threads";
import type { Job, SeedResult } from "./campaign.ts";
import { describePlan, planOf } from "./plan.ts";
import { runPlan } from "./run.ts";

/** A thread of a campaign: one seed after the other. */
parentPort?.on("message", async (job: Job) => parentPort?.postMessage(await resultOf(job)));

async function resultOf({ seed, options }: Job): Promise<SeedResult> {
  const plan = planOf(seed, options);
  const about = { seed, options, plan: describePlan(plan) };
  try {
    const { failure, simulatedMs, trace, reached, misdeeds } = await runPlan(plan);
    const states = { reached: [...reached.keys()], misdeeds: [...misdeeds.keys()] };
    return { ...about, failure, simulatedMs, trace, ...states };
  } catch (error) {
    const failure = `crash of the simulation: ${error instanceof Error ? error.stack : String(error)}`;
    return { ...about, failure, simulatedMs: 0, trace: "", reached: [], misdeeds: [] };
  }
}
