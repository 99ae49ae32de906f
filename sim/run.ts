import { createHash } from "node:crypto";
import { Prng } from "../src/core/base/index.ts";
import { Clients } from "./clients.ts";
import { Nemesis } from "./nemesis.ts";
import type { Plan } from "./plan.ts";
import { World } from "./world.ts";

/** What a seed came to. */
export interface Outcome {
  readonly plan: Plan;
  /** Undefined if every invariant held. */
  readonly failure: string | undefined;
  readonly simulatedMs: number;
  readonly events: number;
  readonly commits: number;
  readonly messages: number;
  readonly heights: number;
  readonly reached: ReadonlyMap<string, number>;
  readonly misdeeds: ReadonlyMap<string, number>;
  readonly culprits: readonly number[];
  /** Equal for equal executions. */
  readonly trace: string;
}

/** Updates and messages that must be accepted after the storm. */
const leastAfterHeal = 5;
/** Commits without payload that a reader may be behind at the end. */
const nearCommits = 200;
const limitsOfQueues = { waitingBlocks: 5000, graphBlocks: 20_000 };

/**
 * Runs a plan: first everything that it has on, then only a core quorum is healed, must converge and go on.
 * `watch` is shown the world before anything happens in it.
 */
export async function runPlan(plan: Plan, watch?: (world: World) => void): Promise<Outcome> {
  const world = new World(plan);
  const trace = createHash("sha256");
  const { scheduler, check, links } = world;
  links.weather = { ...plan.weather };
  watch?.(world);
  const watched = links.onFrame;
  links.onFrame = (sighting) => {
    trace.update(`${sighting.from}>${sighting.to} ${sighting.arrivesMs} ${sighting.frame.length};`);
    watched(sighting);
  };
  // More cheaters than the row bears: a fork is what we want to see, and then who is to blame for it.
  const isControl = plan.corrupt.size > plan.rule.budget.f;
  const clients = new Clients(world, new Prng(world.random.next()));
  const nemesis = new Nemesis(world, new Prng(world.random.next()), plan.stormMs);
  breakOnce(world);
  await world.start();
  nemesis.start();
  clients.start(plan.everyMs, plan.stormMs);
  const goesOn = (): boolean => {
    boundsHold(world);
    return check.failure === undefined || isControl;
  };
  await scheduler.run(plan.stormMs, goesOn);
  if (isControl) {
    links.heal();
    await scheduler.run(plan.stormMs + 10_000, goesOn);
  } else if (check.failure === undefined) await heal(world, clients, goesOn);
  trace.update(`${check.commits} ${check.messages.join()}`);
  return {
    plan,
    failure: check.failure,
    simulatedMs: scheduler.nowMs,
    events: scheduler.count,
    commits: check.commits,
    messages: check.messages.length,
    heights: check.heights,
    reached: world.reached,
    misdeeds: world.misdeeds,
    culprits: [...check.culprits].sort((a, b) => a - b),
    trace: trace.digest("hex").slice(0, 16),
  };
}

/** The one planned fault of a crash matrix: the host dies or stops, and is started again a little later. */
function breakOnce(world: World): void {
  const { fault } = world.plan;
  const [writer] = world.writers;
  if (fault === undefined || writer === undefined) return;
  world.blameDisk(writer, false);
  writer.firstFault = fault;
  const revive = (): void => {
    if (!writer.isUp) void writer.boot();
    if (world.scheduler.nowMs < world.plan.stormMs) world.scheduler.after(1000, revive);
  };
  world.scheduler.after(1000, revive);
}

/** I17: no queue grows over its limit. */
function boundsHold(world: World): void {
  // No queue fills and empties between two looks.
  if (world.scheduler.count % 16 !== 0) return;
  for (const writer of world.honestWriters) {
    const vitals = writer.machine?.vitals;
    if (vitals === undefined) continue;
    const { waitingBlocks: waiting, graphBlocks: graph } = vitals;
    if (waiting > limitsOfQueues.waitingBlocks || graph > limitsOfQueues.graphBlocks)
      world.check.fail("I17", `${writer.id} holds ${waiting} + ${graph} blocks`);
  }
}

/** The storm is over for a core of n − f honest writers and all readers; the rest of the honest ones are gone. */
async function heal(world: World, clients: Clients, goesOn: () => boolean): Promise<void> {
  const { scheduler, check, links, plan } = world;
  const { n, f } = world.network.rule;
  links.heal();
  const spare = Math.max(0, f - world.faulty);
  const core = world.random
    .shuffled(world.honestWriters)
    .slice(0, Math.max(n - f, world.honestWriters.length - spare));
  const hosts = [...core, ...world.readers.filter((reader) => reader.isHonest)];
  for (const host of world.honest) host.disk.plan(undefined);
  for (const host of world.honestWriters) if (!core.includes(host)) host.crash("kill");
  for (const host of hosts) void host.boot();
  const healedMs = scheduler.nowMs;
  const endMs = healedMs + plan.healMs;
  await scheduler.run(healedMs + 8000, goesOn);
  const before = check.messages.length;
  // More is asked for until enough is accepted: a request to a writer that is still coming back is no request.
  const ask = (): void => {
    for (const writer of core) clients.append(writer);
    if (scheduler.nowMs < healedMs + plan.healMs / 2) scheduler.after(1000, ask);
  };
  scheduler.after(0, ask);
  await scheduler.run(endMs, goesOn);
  if (check.failure !== undefined) return;
  const accepted = check.messages.length - before;
  if (accepted < leastAfterHeal)
    check.fail("I24", `${accepted} messages accepted after the network healed: ${told(hosts)}`);
  converged(world, hosts);
}

/** I8, I9, I23: the healed hosts are at one place of the order, or nearly, and have all that was ordered. */
function converged({ check }: World, hosts: World["honest"]): void {
  for (const host of hosts) {
    if (host.machine === undefined) return check.fail("I23", `${host.id} is down: ${host.halted}`);
    check.image(host, host.machine.state.commit.index, host.state.image());
  }
  const places = hosts.map((host) => host.machine?.state.commit.index ?? 0);
  if (Math.max(...places) - Math.min(...places) > nearCommits)
    check.fail("I23", `hosts did not converge: ${told(hosts)}`);
  const counts = hosts.map((host) => host.machine?.state.messages ?? 0);
  if (counts.some((count) => count !== check.messages.length))
    check.fail(
      "I8",
      `${check.messages.length} messages are ordered, not ${counts.join(" ")}: ${told(hosts)}`,
    );
  check.everythingAcked();
}

function told(hosts: World["honest"]): string {
  return hosts
    .map((host) => {
      const vitals =
        host.machine !== undefined && "vitals" in host.machine ? host.machine.vitals : undefined;
      const more =
        vitals === undefined
          ? ""
          : ` round ${vitals.round} of ${vitals.quorumCommit} ${vitals.isSigning ? "signing" : "not signing"} peers ${vitals.peers} waiting ${vitals.waitingBlocks} backlog ${vitals.backlog}`;
      return `${host.id} commit ${host.machine?.state.commit.index}${more}${host.halted === undefined ? "" : ` halted ${host.halted}`}`;
    })
    .join("; ");
}
