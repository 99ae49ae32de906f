import type { World } from "./world.ts";

/** From a request at an honest writer to its place in the order, while nothing but cheaters troubles the world. */
const orderedWithinMs = 8000;
/** Until hosts have found one another at the beginning, milliseconds. */
const startedMs = 3000;
/** What an honest writer sends to each of the others in a simulated second at most, whatever they do. */
const mostPerPeer = { frames: 1500, bytes: 40_000_000 };

/** All frames of a simulated second: beyond, the world itself would not come to its end. */
const mostFrames = 2_000_000;

/**
 * Liveness in the fault phase too: in a world in which all honest writers are well and only cheaters cheat, what an
 * honest writer took is ordered in bounded time; and no honest writer is made to work without bound.
 */
export class Liveness {
  readonly #world: World;
  readonly #sent = new Map<string, { frames: number; bytes: number }>();
  #second = 0;
  #frames = 0;
  #looked = 0;
  slowestMs = 0;
  /** What was ordered, and how long all of it waited together. */
  readonly ordered = { count: 0, sumMs: 0 };
  readonly busiest = { frames: 0, bytes: 0 };

  constructor(world: World) {
    this.#world = world;
    const watched = world.links.onFrame;
    const honest = new Set(world.honestWriters.map(({ id }) => id));
    world.links.onFrame = (sighting) => {
      if (++this.#frames === mostFrames)
        world.check.fail("W", `${mostFrames} frames in second ${this.#second}`);
      if (honest.has(sighting.from)) this.#count(sighting.from, sighting.frame.length);
      watched(sighting);
    };
  }

  #count(id: string, bytes: number): void {
    const sent = this.#sent.get(id) ?? { frames: 0, bytes: 0 };
    sent.frames++;
    sent.bytes += bytes;
    this.#sent.set(id, sent);
  }

  /** After every event. */
  look(): void {
    const { nowMs } = this.#world.scheduler;
    if (Math.floor(nowMs / 1000) > this.#second) this.#endSecond(Math.floor(nowMs / 1000));
    this.#progress(nowMs);
  }

  #endSecond(second: number): void {
    const { check, plan } = this.#world;
    const peers = Math.max(1, plan.n - 1);
    for (const [id, { frames, bytes }] of this.#sent) {
      this.busiest.frames = Math.max(this.busiest.frames, frames / peers);
      this.busiest.bytes = Math.max(this.busiest.bytes, bytes / peers);
      if (frames > peers * mostPerPeer.frames || bytes > peers * mostPerPeer.bytes)
        check.fail("W", `${id} sent ${frames} frames of ${bytes} bytes in second ${this.#second}`);
    }
    this.#sent.clear();
    this.#frames = 0;
    this.#second = second;
  }

  #progress(nowMs: number): void {
    const { check, plan, submittedMs } = this.#world;
    for (; this.#looked < check.messages.length; this.#looked++)
      this.#done(check.messages[this.#looked] ?? "", nowMs);
    if (!plan.isCalm || nowMs >= plan.stormMs) return;
    for (const [text, atMs] of submittedMs) {
      const sinceMs = Math.max(atMs, startedMs);
      if (nowMs <= sinceMs + orderedWithinMs) return;
      submittedMs.delete(text);
      return check.fail("L", `"${text}" is not ordered after ${Math.round(nowMs - sinceMs)} ms`);
    }
  }

  #done(text: string, nowMs: number): void {
    const atMs = this.#world.submittedMs.get(text);
    if (atMs === undefined) return;
    const waitedMs = nowMs - Math.max(atMs, startedMs);
    this.slowestMs = Math.max(this.slowestMs, waitedMs);
    this.ordered.count++;
    this.ordered.sumMs += waitedMs;
    this.#world.submittedMs.delete(text);
  }
}
