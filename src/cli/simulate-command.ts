import { writeFile } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import pc from "picocolors";
import {
  adversaries,
  commandOf,
  committeeSizes,
  describePlan,
  diskFaults,
  type HostFault,
  type Outcome,
  type PlanOptions,
  planOf,
  runPlan,
  Timeline,
  type Trouble,
  troubles,
} from "../../sim/index.ts";
import { exitCodes, note, say, sayJson, sayTable } from "./output.ts";
import { natural } from "./reading.ts";

interface Options {
  readonly seed: number;
  readonly writers?: number;
  readonly adversary?: string;
  readonly readers?: number;
  readonly cheats?: number;
  readonly fault?: HostFault;
  readonly off?: readonly Trouble[];
  readonly storm?: number;
  readonly timeline?: string;
  readonly from: number;
  readonly to: number;
  readonly output: string;
}

/** `smalti simulate`: one seed of the simulated world, for people to watch. */
export function simulateCommand(program: Command): void {
  program
    .command("simulate")
    .description(
      "run one seed of the simulated world: unmodified hosts, virtual time, faults and cheaters",
    )
    .requiredOption("--seed <S>", "which execution", natural)
    .option(
      "--writers <N>",
      `writers: ${committeeSizes.join(", ")}; otherwise as the seed draws`,
      writersOf,
    )
    .option("--readers <N>", "readers; otherwise as the seed draws", natural)
    .option(
      "--adversary <X>",
      `make one writer cheat: ${adversaries.map(({ name }) => name).join(", ")}`,
      adversaryOf,
    )
    .option("--cheats <N>", "writers that cheat; more than the row bears is the control", natural)
    .option(
      "--fault <what@host:step>",
      `one fault at a durable step of a host's first life, as crash-before@w0:12; what: ${diskFaults.join(", ")}`,
      faultOf,
    )
    .option("--off <kinds>", `troubles to leave out: ${troubles.join(",")}`, troublesOf)
    .option("--storm <s>", "seconds of trouble before the network heals (default 25)", natural)
    .option("--timeline <file>", "draw hosts, messages, commits and faults as SVG")
    .option("--from <ms>", "where the drawing begins", natural, 0)
    .option("--to <ms>", "where it ends", natural, 2000)
    .option("-o, --output <form>", "text or json", "text")
    .action(simulate);
}

function writersOf(text: string): number {
  const n = natural(text);
  if (!committeeSizes.some((size) => size === n))
    throw new InvalidArgumentError(`one of ${committeeSizes.join(", ")}`);
  return n;
}

function faultOf(text: string): HostFault {
  const [, name, host, step] = /^([a-z-]+)@([wr]\d+):(\d+)$/.exec(text) ?? [];
  const what = diskFaults.find((one) => one === name);
  if (what === undefined || host === undefined || Number(step) < 1)
    throw new InvalidArgumentError(`as eio@w0:12; what is one of ${diskFaults.join(", ")}`);
  return { what, host, step: Number(step) };
}

function adversaryOf(text: string): string {
  if (adversaries.some(({ name }) => name === text)) return text;
  throw new InvalidArgumentError(`one of ${adversaries.map(({ name }) => name).join(", ")}`);
}

function troublesOf(text: string): Trouble[] {
  return text.split(",").map((name) => {
    const trouble = troubles.find((one) => one === name);
    if (trouble === undefined)
      throw new InvalidArgumentError(`${name} is none of ${troubles.join(", ")}`);
    return trouble;
  });
}

async function simulate(options: Options): Promise<void> {
  const { seed, writers, adversary, off, storm, readers, cheats, fault } = options;
  const fixed: PlanOptions = {
    ...(writers === undefined ? {} : { n: writers }),
    ...(adversary === undefined ? {} : { adversary }),
    ...(off === undefined ? {} : { off }),
    ...(readers === undefined ? {} : { readers }),
    ...(cheats === undefined ? {} : { cheats }),
    ...(fault === undefined ? {} : { fault }),
    ...(storm === undefined ? {} : { stormMs: storm * 1000 }),
  };
  const plan = planOf(seed, fixed);
  const timeline = new Timeline({
    fromMs: options.from,
    toMs: Math.max(options.from + 1, options.to),
  });
  const outcome = await runPlan(plan, (world) => timeline.watch(world));
  if (options.timeline !== undefined) {
    const title = `seed ${seed}: ${describePlan(plan)}`;
    await writeFile(options.timeline, timeline.svg(title));
    note(`drew ${options.from} to ${options.to} ms into ${options.timeline}`);
  }
  if (options.output === "json") sayJson(factsOf(outcome));
  else tell(outcome, timeline);
  if (outcome.failure === undefined) return;
  note(`repeat it with: ${commandOf(plan, fixed)}`);
  process.exitCode = exitCodes.verification;
}

function factsOf(outcome: Outcome): object {
  const { plan, reached, misdeeds, ...rest } = outcome;
  return {
    seed: plan.seed,
    plan: describePlan(plan),
    ...rest,
    failure: outcome.failure ?? null,
    reached: Object.fromEntries(reached),
    misdeeds: Object.fromEntries(misdeeds),
  };
}

function tell(outcome: Outcome, timeline: Timeline): void {
  const { plan, culprits } = outcome;
  say(pc.bold(`seed ${plan.seed}: ${describePlan(plan)}`));
  const stories = timeline.notes.filter(({ kind }) => kind !== "commit");
  for (const { atMs, host, text } of stories.slice(0, 40))
    say(`  ${(atMs / 1000).toFixed(2).padStart(6)} s  ${(host ?? "").padEnd(4)} ${text}`);
  if (stories.length > 40) say(pc.dim(`  … and ${stories.length - 40} more`));
  sayTable(
    ["simulated", "events", "commits", "messages", "heights", "proven cheaters", "trace"],
    [
      [
        `${(outcome.simulatedMs / 1000).toFixed(0)} s`,
        String(outcome.events),
        String(outcome.commits),
        String(outcome.messages),
        String(outcome.heights),
        culprits.length === 0 ? "none" : culprits.map((author) => `w${author}`).join(" "),
        outcome.trace,
      ],
    ],
  );
  if (outcome.failure === undefined)
    say(pc.green("all invariants held, and the healed core converged and went on"));
  else say(pc.red(`FAILED ${outcome.failure}`));
}
