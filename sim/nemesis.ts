import type { Prng } from "../src/core/base/index.ts";
import { worstClock } from "./check.ts";
import { DiskNemesis } from "./disk-nemesis.ts";
import type { SimWriter } from "./host.ts";
import type { Trouble } from "./plan.ts";
import type { World } from "./world.ts";

/** Makes the troubles that the plan has on, within the fault budget, until the storm is over. */
export class Nemesis {
  readonly #world: World;
  readonly #random: Prng;
  readonly #untilMs: number;
  readonly #disks: DiskNemesis;

  constructor(world: World, random: Prng, untilMs: number) {
    this.#world = world;
    this.#random = random;
    this.#untilMs = untilMs;
    this.#disks = new DiskNemesis(world, random);
  }

  start(): void {
    for (const trouble of this.#world.plan.troubles) this.#again(trouble);
  }

  #again(trouble: Trouble): void {
    const meanMs = meanMsOf[trouble];
    if (meanMs === undefined) return;
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

  #actions(): Readonly<Partial<Record<Trouble, () => void>>> {
    const { honest, honestWriters } = this.#world;
    return {
      crashes: () => this.#down(this.#one(honest), "kill"),
      "power-cuts": () => this.#down(this.#one(honest), "power"),
      blackouts: () => this.#blackout(),
      pauses: () => this.#pause(this.#one(honest)),
      partitions: () => this.#partition(),
      "one-way": () => this.#blockPairs(false),
      flapping: () => this.#blockPairs(true),
      swizzles: () => this.#swizzle(),
      storms: () => this.#storm(),
      skew: () => this.#skew(this.#one(honestWriters)),
    };
  }

  #make(trouble: Trouble): void {
    const act = this.#actions()[trouble];
    if (act === undefined) this.#disks.harm(trouble);
    else act();
  }

  #blackout(): void {
    this.#did("power cut everywhere");
    for (const host of this.#world.honest) this.#down(host, "power", 500);
  }

  #storm(): void {
    const { links } = this.#world;
    links.weather = {
      ...links.weather,
      delayMs: this.#one([1, 20, 100, 300]) ?? 10,
      tail: this.#random.chance(0.5) ? 0.01 : 0,
    };
    this.#did(`delay ${links.weather.delayMs} ms`);
  }

  #pause(host: World["honest"][number] | undefined): void {
    if (host === undefined) return;
    this.#did("paused", host.id);
    host.pause(100 + this.#random.below(8000));
  }

  /** Hosts are cut off one by one, and come back one by one in another order. */
  #swizzle(): void {
    const { links, scheduler } = this.#world;
    const ids = this.#world.hosts.filter((host) => !host.id.endsWith("'")).map(({ id }) => id);
    const some = this.#random.shuffled(ids).slice(0, 1 + this.#random.below(ids.length));
    this.#did(`clogged one by one: ${some.join(" ")}`);
    const forEach = (way: "block" | "unblock", id: string): void => {
      for (const other of ids) {
        if (other === id) continue;
        links[way](id, other);
        links[way](other, id);
      }
    };
    let atMs = 0;
    const inTurn = (way: "block" | "unblock", mostMs: number): void => {
      for (const id of this.#random.shuffled(some)) {
        atMs += this.#random.below(mostMs);
        scheduler.after(atMs, () => forEach(way, id));
      }
    };
    inTurn("block", 400);
    inTurn("unblock", 1500);
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

  /** Clocks of honest hosts are wrong by up to a minute, jump, and drift by up to a tenth. */
  #skew(host: SimWriter | undefined): void {
    if (host === undefined) return;
    host.skewMs = this.#random.below(2 * worstClock.skewMs + 1) - worstClock.skewMs;
    host.drift = worstClock.drift * ((this.#random.below(201) - 100) / 100);
    this.#did(`clock off by ${(host.skewMs / 1000).toFixed(0)} s`, host.id);
  }
}

/** Mean milliseconds between two troubles of a kind; the weather needs no hand. */
const meanMsOf: Readonly<Partial<Record<Trouble, number>>> = {
  crashes: 4000,
  "power-cuts": 5000,
  blackouts: 12_000,
  partitions: 10_000,
  "one-way": 7000,
  flapping: 9000,
  storms: 8000,
  "disk-errors": 9000,
  wipes: 14_000,
  rot: 12_000,
  backups: 9000,
  skew: 4000,
  pauses: 6000,
  swizzles: 9000,
  "lying-syncs": 11_000,
  misdirections: 11_000,
  doubles: 20_000,
};
