import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type AdversaryName, Clients, Liveness, planOf, troubles, World } from "../../sim/index.ts";
import { limits, Prng } from "../../src/core/base/index.ts";

/** Four writers of which the last one cheats, and nothing else is wrong but what the test does. */
class Scene {
  readonly world: World;
  readonly #clients: Clients;
  readonly liveness: Liveness;

  constructor(adversary: AdversaryName, seed: number) {
    const plan = planOf(seed, { n: 4, adversary, off: troubles, readers: 1 });
    const weather = { ...plan.weather, delayMs: 5 };
    const corrupt = new Map([[3, adversary]]);
    this.world = new World({
      ...plan,
      corrupt,
      weather,
      liars: new Map(),
      isCalm: false,
      syncMs: 1,
    });
    this.world.links.weather = weather;
    this.#clients = new Clients(this.world, new Prng(seed));
    this.liveness = new Liveness(this.world);
  }

  async start(): Promise<void> {
    await this.world.start();
    this.#clients.start(120, 600_000);
  }

  async run(ms: number): Promise<void> {
    const { scheduler, check } = this.world;
    await scheduler.run(scheduler.nowMs + ms, () => {
      this.liveness.look();
      return check.failure === undefined;
    });
    assert.equal(check.failure, undefined);
  }

  /** Messages that were ordered while time passed. */
  async orderedIn(ms: number): Promise<number> {
    const before = this.world.check.messages.length;
    await this.run(ms);
    return this.world.check.messages.length - before;
  }

  cheaterLeaves(): void {
    const [cheater] = this.world.writers.slice(3);
    cheater?.crash("kill");
    if (cheater !== undefined) cheater.isGone = true;
  }

  commitOf(i: number): number {
    return this.world.writers[i]?.machine?.vitals.lastCommit ?? 0;
  }
}

describe("a writer was away while a cheater withheld", () => {
  for (const adversary of ["abstainer", "divider"] as const)
    test(`${adversary}: it catches up, and the three go on when the cheater has left`, async () => {
      const scene = new Scene(adversary, 11);
      await scene.start();
      await scene.run(2000);
      const [first] = scene.world.writers;
      first?.crash("kill");
      await scene.run(20_000);
      const behind = scene.commitOf(1);
      assert.ok(behind > limits.commitLagMax, `${behind} commits meanwhile`);
      void first?.boot();
      await scene.run(6000);
      assert.ok(
        scene.commitOf(0) > behind,
        `it is at ${scene.commitOf(0)} of ${scene.commitOf(1)}`,
      );
      scene.cheaterLeaves();
      await scene.run(1000);
      assert.ok((await scene.orderedIn(6000)) > 10, "three honest writers stand still");
    });
});

describe("the others go on while it cheats, and when it has left", () => {
  for (const adversary of [
    "abstainer",
    "divider",
    "hoarder",
    "sniper",
    "filler",
    "flooder",
  ] as const)
    test(adversary, async () => {
      const scene = new Scene(adversary, 21);
      await scene.start();
      await scene.run(2000);
      assert.ok((await scene.orderedIn(6000)) > 12, "they stand still beside it");
      scene.cheaterLeaves();
      await scene.run(1000);
      assert.ok((await scene.orderedIn(6000)) > 10, "they stand still without it");
    });
});

test("one that leaves out rounds makes the others wait for it now and then", async () => {
  const fast = new Scene("abstainer", 41);
  const slow = new Scene("truant", 41);
  for (const scene of [fast, slow]) {
    await scene.start();
    await scene.run(4000);
  }
  const waitOf = async (scene: Scene): Promise<number> => {
    const before = { ...scene.liveness.ordered };
    await scene.run(20_000);
    const { count, sumMs } = scene.liveness.ordered;
    return (sumMs - before.sumMs) / (count - before.count);
  };
  const [punctualMs, truantMs] = [await waitOf(fast), await waitOf(slow)];
  assert.ok(truantMs < 3 * punctualMs, `${truantMs} ms instead of ${punctualMs} ms`);
});

test("after all were killed, one that boasts at every restart holds up nobody for long", async () => {
  const scene = new Scene("boaster", 31);
  await scene.start();
  await scene.run(5000);
  const honest = scene.world.writers.slice(0, 3);
  for (const writer of scene.world.writers) writer.crash("kill");
  for (const writer of scene.world.writers) void writer.boot();
  const { check, scheduler } = scene.world;
  const before = check.messages.length;
  const fromMs = scheduler.nowMs;
  await scheduler.run(fromMs + 30_000, () => check.messages.length === before);
  const tookMs = scheduler.nowMs - fromMs;
  assert.equal(check.failure, undefined);
  assert.ok(honest.every(({ machine }) => machine?.vitals.isPaused === false));
  // Three questions of three seconds each, which it leaves unanswered.
  assert.ok(tookMs < 11_000, `nothing is ordered for ${Math.round(tookMs)} ms`);
});
