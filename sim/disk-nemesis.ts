import type { Prng } from "../src/core/base/index.ts";
import type { SimWriter } from "./host.ts";
import type { Trouble } from "./plan.ts";
import type { World } from "./world.ts";

/** What goes wrong with disks and with those who keep them. Losses cost one of the f faults, and stay within them. */
export class DiskNemesis {
  readonly #world: World;
  readonly #random: Prng;
  /** Writers whose disks may lose what was synced: together with the cheaters never more than f. */
  readonly #mayLose: readonly SimWriter[];
  readonly #backups = new Map<
    string,
    { files: ReadonlyMap<string, Buffer>; state: ReadonlyMap<string, Uint8Array> }
  >();

  constructor(world: World, random: Prng) {
    this.#world = world;
    this.#random = random;
    const { f } = world.network.faults;
    this.#mayLose = random
      .shuffled(world.honestWriters)
      .slice(0, Math.max(0, f - world.plan.corrupt.size));
  }

  #did(what: string, host: SimWriter): void {
    this.#world.note("trouble", host.id, what);
  }

  #one<T>(items: readonly T[]): T | undefined {
    return items[this.#random.below(Math.max(1, items.length))];
  }

  harm(trouble: Trouble): void {
    if (trouble === "disk-errors") this.#failDisk(this.#one(this.#world.honestWriters));
    else this.#harmDisk(trouble, this.#one(this.#mayLose));
  }

  /** It stops with an error of its own; the operator mends the disk and starts it again. */
  #failDisk(host: SimWriter | undefined): void {
    if (host === undefined) return;
    const world = this.#world;
    const what = this.#one(["eio", "enospc", "short"] as const) ?? "eio";
    world.blameDisk(host, "failed");
    host.disk.plan({ step: 1 + this.#random.below(20), what });
    this.#did(`disk: ${what}`, host);
    world.scheduler.after(3000 + this.#random.below(5000), () => {
      host.disk.plan(undefined);
      if (host.halted !== undefined) world.sometimes("started again after a disk error");
      void host.boot();
    });
  }

  /** What costs one of the f faults: a disk that loses what it had taken. */
  #harmDisk(trouble: Trouble, host: SimWriter | undefined): void {
    if (host === undefined) return;
    const world = this.#world;
    switch (trouble) {
      case "backups":
        world.blameDisk(host, "forgot");
        return this.#backup(host);
      case "doubles":
        if (!host.isHonest) return;
        this.#did("started a second time elsewhere", host);
        world.sometimes("started twice");
        return world.double(host);
      case "lying-syncs":
        world.blameDisk(host, "forgot");
        this.#did("syncs do nothing", host);
        host.disk.isLying = true;
        this.#restartLater(host, 1000 + this.#random.below(4000));
        // What it signed is gone, and it cannot know: as with an old backup, it may sign again.
        host.isHonest = false;
        return;
      case "misdirections":
        world.blameDisk(host, "lost");
        this.#did("a write lands elsewhere", host);
        host.disk.plan({ step: 1 + this.#random.below(20), what: "misdirected" });
        return this.#restartLater(host, 1000 + this.#random.below(4000));
      case "rot":
        world.blameDisk(host, "lost");
        this.#did("a bit rots", host);
        host.crash("power");
        host.disk.rot(this.#one(["log/", "guard"]) ?? "log/", this.#random);
        return this.#restartLater(host, 0);
      default:
        return this.#wipe(host);
    }
  }

  /** All of a disk is gone, or all but the guard: then the host still knows that it may not sign. */
  #wipe(host: SimWriter): void {
    const isGuardLeft = this.#random.chance(0.5);
    this.#world.blameDisk(host, isGuardLeft ? "lost" : "forgot");
    this.#did(isGuardLeft ? "log lost" : "disk lost", host);
    host.crash("power");
    if (isGuardLeft) host.disk.remove("/data/log");
    else host.loseAll();
    this.#restartLater(host, 0);
  }

  /** A power cut, a start, and where the damaged disk is refused, an empty one, as the error says. */
  #restartLater(host: SimWriter, afterMs: number): void {
    const { scheduler } = this.#world;
    scheduler.after(afterMs, () => {
      host.crash("power");
      host.disk.heal();
    });
    scheduler.after(afterMs + 200 + this.#random.below(3000), () => void host.boot());
    scheduler.after(afterMs + 4000, () => {
      if (host.halted !== undefined) this.#world.giveEmptyDisk(host);
    });
  }

  #backup(host: SimWriter): void {
    const kept = this.#backups.get(host.id);
    if (kept === undefined) {
      this.#backups.set(host.id, { files: host.disk.backup(), state: host.state.backup() });
      return this.#did("backup taken", host);
    }
    this.#backups.delete(host.id);
    host.crash("power");
    host.disk.restore(kept.files);
    host.state.restore(kept.state);
    this.#did("restored from the backup", host);
    this.#world.sometimes("restored from an old backup");
    host.isHonest = false;
    this.#world.scheduler.after(200 + this.#random.below(3000), () => void host.boot());
  }
}
