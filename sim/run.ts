import { createHash } from "node:crypto";
import { limits, Prng } from "../src/core/base/index.ts";
import { dagConfigOf } from "../src/core/dag/index.ts";
import type { WriterVitals } from "../src/core/replica/index.ts";
import { Clients } from "./clients.ts";
import type { SimWriter } from "./host.ts";
import { Liveness } from "./liveness.ts";
import { Mallory } from "./mallory.ts";
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
  /** The longest time from the sight of a misdeed to its proof at all, milliseconds. */
  readonly slowestProofMs: number;
  /** Where nothing but cheaters troubles the world: the longest time from a request to its place in the order. */
  readonly slowestOrderMs: number;
  /** The most that an honest writer sent in one simulated second. */
  readonly busiest: { readonly frames: number; readonly bytes: number };
  readonly reached: ReadonlyMap<string, number>;
  readonly misdeeds: ReadonlyMap<string, number>;
  readonly culprits: readonly number[];
  /** Equal for equal executions. */
  readonly trace: string;
}

/** Mean milliseconds between two updates of a hostile publisher. */
const malloryEveryMs = 1500;
/** Messages and updates that must be accepted after the storm. */
const leastAfterHeal = { messages: 5, updates: 1 };
/** A writer too few, for so long; what was on its way has arrived after the first part. */
const shortage = { settleMs: 3000, forMs: 6000 };
/** Commits without payload that a reader may be behind at the end. */
const nearCommits = 200;
/** In which a host that is well gets hold of what is certified, milliseconds. */
const settleMs = 4000;
const limitsOfQueues = {
  waitingBlocks: 13 * (limits.suspendedBlocksMax + 8 * 13),
  graphBlocks: 20_000,
  pendingBytes: limits.pendingPayloadBytesMax,
};

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
  const mallory = new Mallory(world, new Prng(plan.seed ^ 0xbad));
  world.onFinished = (host, event) => {
    clients.registers.finished(host, event);
    mallory.finished(host, event);
  };
  world.onAcknowledged = (host, text) => clients.registers.acknowledged(host, text);
  const nemesis = new Nemesis(world, new Prng(world.random.next()), plan.stormMs);
  breakOnce(world);
  await world.start();
  nemesis.start();
  clients.start(plan.everyMs, plan.stormMs);
  if (plan.hasMallory) mallory.start(malloryEveryMs, plan.stormMs);
  const liveness = new Liveness(world);
  const goesOn = (): boolean => {
    boundsHold(world);
    liveness.look();
    return check.failure === undefined || isControl;
  };
  await scheduler.run(plan.stormMs, goesOn);
  if (isControl) {
    links.heal();
    await scheduler.run(plan.stormMs + 10_000, goesOn);
  } else if (check.failure === undefined) await heal(world, clients, goesOn);
  if (!isControl) clients.registers.check();
  trace.update(`${check.commits} ${check.messages.join()}`);
  return {
    plan,
    failure: check.failure,
    simulatedMs: scheduler.nowMs,
    events: scheduler.count,
    commits: check.commits,
    messages: check.messages.length,
    heights: check.heights,
    slowestProofMs: check.slowestProofMs,
    slowestOrderMs: liveness.slowestMs,
    busiest: liveness.busiest,
    reached: world.reached,
    misdeeds: world.misdeeds,
    culprits: [...check.culprits].sort((a, b) => a - b),
    trace: trace.digest("hex").slice(0, 16),
  };
}

/** The one planned fault of a crash matrix: the host dies or stops, and is started again a little later. */
function breakOnce(world: World): void {
  const { fault } = world.plan;
  const host = world.hosts.find(({ id }) => id === fault?.host);
  if (fault === undefined || host === undefined) return;
  world.blameDisk(host, "failed");
  host.firstFault = fault;
  host.disk.onFault = () => world.sometimes("the planned fault");
  const revive = (): void => {
    if (!host.isUp) void host.boot();
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
    const broken = brokenBound(vitals);
    if (broken !== undefined) world.check.fail("I17", `${writer.id} holds ${broken}`);
  }
}

function brokenBound(vitals: WriterVitals): string | undefined {
  const rows = Object.entries(vitals.bounds).map(([name, { size, most }]) => ({
    name,
    size,
    most,
  }));
  const sizes: Readonly<Record<string, number>> = {
    ...vitals.own,
    pendingBytes: vitals.pendingBytes,
  };
  for (const name of ["waitingBlocks", "graphBlocks", "pendingBytes"] as const)
    rows.push({ name, size: sizes[name] ?? 0, most: limitsOfQueues[name] });
  const row = rows.find(({ size, most }) => size > most);
  return row && `${row.size} of ${row.name}, not ${row.most}`;
}

/** Who is well again, and what is looked at after every event. */
interface Healed {
  readonly core: readonly SimWriter[];
  readonly goesOn: () => boolean;
}

/** The storm is over for a core of n − f honest writers and all readers; the rest of the honest ones are gone. */
async function heal(world: World, clients: Clients, goesOn: () => boolean): Promise<void> {
  const { scheduler, links, plan } = world;
  const { n, f } = world.network.faults;
  links.heal();
  const spare = Math.max(0, f - world.faulty);
  const core = world.random
    .shuffled(world.honestWriters)
    .slice(0, Math.max(n - f, world.honestWriters.length - spare));
  for (const host of world.honest) host.disk.heal();
  for (const host of world.honestWriters) if (!core.includes(host)) leave(host);
  const hosts = [...core, ...world.readers.filter((reader) => reader.isHonest)];
  if (plan.isShort) await starve(world, clients, { core, goesOn });
  for (const host of hosts) void host.boot();
  await scheduler.run(scheduler.nowMs + 6000, goesOn);
  const healedMs = scheduler.nowMs;
  await goOn(world, clients, { core, goesOn });
  const endMs = Math.max(scheduler.nowMs + 8000, plan.stormMs + plan.healMs);
  await scheduler.run(endMs - settleMs, goesOn);
  const certified = Math.max(...core.map((host) => host.head?.due.size ?? 0));
  const messages = world.check.messages.length;
  await scheduler.run(endMs, goesOn);
  if (world.check.failure === undefined) converged(world, hosts, { certified, messages });
  world.check.allProven(hosts, healedMs);
}

/** One writer too few of all that there are: whatever the others do, what they are asked for now is not accepted. */
async function starve(world: World, clients: Clients, on: Healed): Promise<void> {
  const { scheduler, check, network } = world;
  const { rule } = dagConfigOf(network);
  const { parentQuorum, fastQuorum, certificateQuorum, commitQuorum, n } = rule;
  const quorums = [parentQuorum, fastQuorum, certificateQuorum, commitQuorum];
  const few = on.core.slice(0, Math.min(...quorums.map((quorum) => quorum ?? n)) - 1);
  const others = [...world.writers, ...world.twins].filter((writer) => !few.includes(writer));
  for (const writer of others) leave(writer);
  for (const writer of few) {
    writer.crash("kill");
    void writer.boot();
  }
  await scheduler.run(scheduler.nowMs + shortage.settleMs, on.goesOn);
  const asked = few.map((writer) => clients.append(writer));
  await scheduler.run(scheduler.nowMs + shortage.forMs, on.goesOn);
  const accepted = asked.find((text) => text !== undefined && check.messages.includes(text));
  if (accepted !== undefined)
    check.fail("I6", `${few.length} writers of ${n} accepted "${accepted}"`);
  world.sometimes("a writer too few");
  for (const writer of others) writer.isGone = writer.isHonest && !on.core.includes(writer);
  for (const writer of others) void writer.boot();
}

function leave(writer: SimWriter): void {
  writer.crash("kill");
  writer.isGone = true;
}

/** I24: more is asked for until enough is accepted: a request to a writer that is still coming back is no request. */
async function goOn(world: World, clients: Clients, on: Healed): Promise<void> {
  const { scheduler, check, plan } = world;
  const before = { messages: check.messages.length, updates: check.published.size };
  const enough = (): boolean =>
    check.messages.length - before.messages >= leastAfterHeal.messages &&
    check.published.size - before.updates >= leastAfterHeal.updates;
  const endMs = scheduler.nowMs + plan.healMs;
  while (scheduler.nowMs < endMs && !enough() && check.failure === undefined) {
    askForMore(world, clients, on.core);
    await scheduler.run(scheduler.nowMs + 1500, on.goesOn);
  }
  if (enough() || check.failure !== undefined) return;
  const messages = check.messages.length - before.messages;
  const updates = check.published.size - before.updates;
  check.fail(
    "I24",
    `${messages} messages and ${updates} updates accepted after the network healed: ${told(on.core)}`,
  );
}

/** All at once: requests share the rounds that they cost. And the operator does what errors tell him. */
function askForMore(world: World, clients: Clients, core: readonly SimWriter[]): void {
  const willing = core.filter((writer) => writer.takes);
  const [first] = world.random.shuffled(willing);
  if (first !== undefined) clients.publishNew(first);
  for (const via of [...willing, ...willing]) clients.append(via);
  for (const host of core) if (host.halted !== undefined) world.giveEmptyDisk(host);
}

/**
 * I8, I9, I23: the healed hosts are at one place of the order, or nearly, have all that was ordered a moment ago, and can
 * show a checkpoint of the size that was certified somewhere then.
 */
function converged(
  { check }: World,
  hosts: World["honest"],
  { certified, messages }: { readonly certified: number; readonly messages: number },
): void {
  for (const host of hosts) {
    if (host.machine === undefined) return check.fail("I23", `${host.id} is down: ${host.halted}`);
    check.image(host, host.storedCommit, host.state.image());
  }
  const places = hosts.map((host) => host.machine?.state.commit.index ?? 0);
  if (Math.max(...places) - Math.min(...places) > nearCommits)
    check.fail("I23", `hosts did not converge: ${told(hosts)}`);
  const behind = hosts.filter((host) => (host.head?.due.size ?? 0) < certified);
  if (behind.length > 0)
    check.fail("I23", `${certified} leaves are certified, and not shown by: ${told(behind)}`);
  const counts = hosts.map((host) => host.machine?.state.messages ?? 0);
  if (counts.some((count) => count < messages || count > check.messages.length))
    check.fail("I8", `${messages} messages are ordered, not ${counts.join(" ")}: ${told(hosts)}`);
  check.everythingAcked();
  for (const { path, digest } of hosts[0]?.files() ?? [])
    if (!hosts.some((host) => host.blobs.has(digest)))
      return check.fail("I8", `nobody has the content of ${path}`);
}

function told(hosts: World["honest"]): string {
  return hosts
    .map((host) => {
      const vitals =
        host.machine !== undefined && "vitals" in host.machine ? host.machine.vitals : undefined;
      const more =
        vitals === undefined
          ? ""
          : ` round ${vitals.round} of ${vitals.quorumCommit} ${vitals.isSigning ? "signing" : "not signing"} peers ${vitals.peers} waiting ${vitals.own["waitingBlocks"]} backlog ${vitals.backlog}`;
      return `${host.id} commit ${host.machine?.state.commit.index}${more}${host.halted === undefined ? "" : ` halted ${host.halted}`}`;
    })
    .join("; ");
}
