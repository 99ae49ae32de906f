import type { Prng } from "../src/core/base/index.ts";
import type { SimWriter } from "./host.ts";
import type { Trouble } from "./plan.ts";
import type { World } from "./world.ts";

/** Makes the troubles that the plan has on, within the fault budget, until the storm is over. */
export class Nemesis {
  readonly #world: World;
  readonly #random: Prng;
  readonly #untilMs: number;
  /** Writers whose disks may lose what was synced: together with the cheaters never more than f. */
  readonly #mayLose: readonly SimWriter[];
  readonly #backups = new Map<
    string,
    { files: ReadonlyMap<string, Buffer>; state: ReadonlyMap<string, Uint8Array> }
  >();

  constructor(world: World, random: Prng, untilMs: number) {
    this.#world = world;
    this.#random = random;
    this.#untilMs = untilMs;
    const { f } = world.network.rule;
    this.#mayLose = random
      .shuffled(world.honestWriters)
      .slice(0, Math.max(0, f - world.plan.corrupt.size));
  }

  start(): void {
    for (const trouble of this.#world.plan.troubles) this.#again(trouble);
  }

  #again(trouble: Trouble): void {
    const meanMs = meanMsOf[trouble];
    this.#world.scheduler.after(meanMs * (0.3 + this.#random.below(1400) / 1000), () => {
      if (this.#world.scheduler.nowMs > this.#untilMs) return;
      this.#make(trouble);
      this.#again(trouble);
    });
  }

  #did(what: string, host?: string): void {
    this.#world.note("trouble", host, what);
  }

  #one<T>(items: readonly T[]): T | undefined {
    return items[this.#random.below(Math.max(1, items.length))];
  }

  #make(trouble: Trouble): void {
    const { links, honest } = this.#world;
    switch (trouble) {
      case "crashes":
        return this.#down(this.#one(honest), "kill");
      case "power-cuts":
        return this.#down(this.#one(honest), "power");
      case "blackouts":
        this.#did("power cut everywhere");
        for (const host of honest) this.#down(host, "power", 500);
        return;
      case "partitions":
        return this.#partition();
      case "one-way":
        return this.#blockPairs(false);
      case "flapping":
        return this.#blockPairs(true);
      case "storms":
        links.weather = {
          ...links.weather,
          delayMs: this.#one([1, 20, 100, 300]) ?? 10,
          tail: this.#random.chance(0.5) ? 0.01 : 0,
        };
        return this.#did(`delay ${links.weather.delayMs} ms`);
      case "clogs":
      case "cuts":
        return;
      case "skew":
        return this.#skew();
      default:
        return this.#harmDisk(trouble);
    }
  }

  #down(host: World["honest"][number] | undefined, how: "kill" | "power", mostMs = 6000): void {
    if (host === undefined) return;
    this.#did(how === "kill" ? "killed" : "power cut", host.id);
    host.crash(how);
    this.#world.scheduler.after(50 + this.#random.below(mostMs), () => void host.boot());
  }

  #partition(): void {
    const { links, hosts } = this.#world;
    const ids = this.#random.shuffled(
      hosts.filter((host) => !host.id.endsWith("'")).map(({ id }) => id),
    );
    const shape = this.#random.below(4);
    const half = Math.ceil(ids.length / 2);
    const isApart = (a: number, b: number): boolean => {
      if (shape === 0) return a < half !== b < half;
      if (shape === 1) return a === 0 || b === 0;
      // A ring: only neighbours hear one another. A bridge: one host stands in both halves.
      if (shape === 2) return Math.abs(a - b) !== 1 && Math.abs(a - b) !== ids.length - 1;
      return a !== half && b !== half && a < half !== b < half;
    };
    this.#did(`partition: ${["halves", "one alone", "ring", "bridge"][shape]}`);
    const pairs: [string, string][] = [];
    for (const [i, a] of ids.entries())
      for (const [j, b] of ids.entries()) if (i !== j && isApart(i, j)) pairs.push([a, b]);
    for (const [a, b] of pairs) links.block(a, b);
    this.#world.scheduler.after(1000 + this.#random.below(9000), () => {
      for (const [a, b] of pairs) links.unblock(a, b);
    });
  }

  #blockPairs(isFlapping: boolean): void {
    const { links, writers } = this.#world;
    const [a, b] = this.#random.shuffled(writers.map(({ id }) => id));
    if (a === undefined || b === undefined) return;
    this.#did(isFlapping ? `the link to ${b} flaps` : `nothing goes to ${b}`, a);
    const flap = (times: number): void => {
      links.block(a, b);
      if (isFlapping) links.block(b, a);
      this.#world.scheduler.after(
        isFlapping ? 100 + this.#random.below(600) : 2000 + this.#random.below(6000),
        () => {
          links.unblock(a, b);
          links.unblock(b, a);
          if (isFlapping && times > 0)
            this.#world.scheduler.after(100 + this.#random.below(300), () => flap(times - 1));
        },
      );
    };
    flap(8);
  }

  /** Clocks of honest hosts are wrong by up to a minute, and jump. */
  #skew(): void {
    const host = this.#one(this.#world.honestWriters);
    if (host === undefined) return;
    host.skewMs = this.#random.below(120_001) - 60_000;
    this.#did(`clock off by ${(host.skewMs / 1000).toFixed(0)} s`, host.id);
  }

  #harmDisk(trouble: Trouble): void {
    const world = this.#world;
    if (trouble === "disk-errors") {
      const host = this.#one(world.honestWriters);
      if (host === undefined) return;
      const what = this.#one(["eio", "enospc", "short"] as const) ?? "eio";
      world.blameDisk(host, false);
      host.disk.plan({ step: 1 + this.#random.below(20), what });
      this.#did(`disk: ${what}`, host.id);
      // It stops with an error of its own; the operator mends the disk and starts it again.
      return void world.scheduler.after(3000 + this.#random.below(5000), () => {
        host.disk.plan(undefined);
        if (host.halted !== undefined) world.sometimes("started again after a disk error");
        void host.boot();
      });
    }
    const host = this.#one(this.#mayLose);
    if (host === undefined) return;
    world.blameDisk(host, true);
    const random = this.#random;
    if (trouble === "backups") return this.#backup(host);
    host.crash("power");
    if (trouble === "wipes") {
      this.#did("disk lost", host.id);
      host.disk.remove("/data");
      host.state.clear();
      host.blobs.clear();
    } else {
      this.#did("a bit rots", host.id);
      host.disk.rot(this.#one(["log/", "guard"]) ?? "log/", random);
    }
    world.scheduler.after(200 + random.below(3000), () => void host.boot());
    // What cannot start from a damaged disk is given an empty one, as the error says.
    world.scheduler.after(4000, () => {
      if (host.halted === undefined) return;
      world.sometimes("a damaged disk was refused");
      host.disk.remove("/data");
      host.state.clear();
      void host.boot();
    });
  }

  #backup(host: SimWriter): void {
    const kept = this.#backups.get(host.id);
    if (kept === undefined) {
      this.#backups.set(host.id, { files: host.disk.backup(), state: host.state.backup() });
      return this.#did("backup taken", host.id);
    }
    this.#backups.delete(host.id);
    host.crash("power");
    host.disk.restore(kept.files);
    host.state.restore(kept.state);
    this.#did("restored from the backup", host.id);
    this.#world.sometimes("restored from an old backup");
    host.isHonest = false;
    this.#world.scheduler.after(200 + this.#random.below(3000), () => void host.boot());
  }
}

/** Mean milliseconds between two troubles of a kind. */
const meanMsOf: Readonly<Record<Trouble, number>> = {
  crashes: 4000,
  "power-cuts": 5000,
  blackouts: 12_000,
  partitions: 10_000,
  "one-way": 7000,
  flapping: 9000,
  storms: 8000,
  clogs: 1e9,
  cuts: 1e9,
  "disk-errors": 9000,
  wipes: 14_000,
  rot: 12_000,
  backups: 9000,
  skew: 4000,
};
