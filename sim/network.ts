import type { Author, Prng } from "../src/core/base/index.ts";
import type { Scheduler } from "./scheduler.ts";

/** A running program as its links see it. */
export interface Endpoint {
  readonly id: string;
  readonly author: Author;
  /** `session` tells this link from earlier ones with the peer. */
  up(peer: Author, session: number): void;
  down(peer: Author): void;
  /** `isFromTwin`: sent by the second copy of a cheater, as its fellows know. */
  frame(peer: Author, frame: Uint8Array, isFromTwin: boolean): void;
}

interface Link {
  readonly ends: readonly [string, string];
  /** Counts the times it broke: what was on its way then never arrives. */
  generation: number;
  isUp: boolean;
  /** By direction `from>to`: when the last frame arrives. */
  readonly lastMs: Map<string, number>;
  /** By sender: what a blocked path holds back. */
  readonly held: Map<string, Carried[]>;
}

interface Carried extends Payload {
  readonly from: string;
  readonly to: string;
}

interface Payload {
  readonly frame: Uint8Array;
  readonly isFromTwin: boolean;
}

/** How the network is now; all of it may change while it runs. */
export interface Weather {
  /** Mean one-way delay, milliseconds. */
  delayMs: number;
  /** Chance of a delay of up to a second more. */
  tail: number;
  /** Chance that a frame clogs its path for up to five seconds. */
  clog: number;
  /** Chance that a link breaks under a frame, and what is on its way is lost. */
  cut: number;
  /** Bytes a millisecond and direction. */
  bandwidth: number;
}

const calm: Weather = { delayMs: 10, tail: 0, clog: 0, cut: 0, bandwidth: 1e6 };

const silentMs = 5000;

/** What a person sees of the network: for timelines. */
export interface Sighting {
  readonly from: string;
  readonly to: string;
  readonly frame: Uint8Array;
  readonly sentMs: number;
  readonly arrivesMs: number;
}

/**
 * Links between endpoints as the transport promises them: authenticated, in order, whole frames. Everything else may
 * happen: delay with a heavy tail, clogs, breaks, and partitions of any shape, in one direction or both.
 */
export class SimNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: Prng;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #authors = new Map<string, Author>();
  readonly #links = new Map<string, Link>();
  /** Directions `from>to` that carry nothing. */
  readonly #blocked = new Set<string>();
  weather: Weather = { ...calm };
  onFrame: (sighting: Sighting) => void = () => undefined;
  onDelivered: (from: string, to: string, frame: Uint8Array) => void = () => undefined;
  frames = 0;

  constructor(scheduler: Scheduler, random: Prng) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  attach(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.id, endpoint);
    this.#authors.set(endpoint.id, endpoint.author);
    for (const other of this.#endpoints.values()) this.#dial(endpoint.id, other.id, 100);
  }

  /** The program died or stopped: its peers notice. */
  detach(id: string): void {
    this.#endpoints.delete(id);
    for (const link of this.#links.values()) if (link.ends.includes(id)) this.#break(link);
  }

  /** Nothing goes from one to the other any more; a link that is silent for long breaks. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
    const link = this.#link(from, to);
    const { generation } = link;
    this.#scheduler.after(silentMs, () => {
      if (this.#isBlocked(from, to) && link.generation === generation) this.#break(link);
    });
  }

  heal(): void {
    this.#blocked.clear();
    this.weather = { ...calm };
    const ids = [...this.#endpoints.keys()];
    for (const [i, a] of ids.entries()) for (const b of ids.slice(i + 1)) this.#dial(a, b, 10);
  }

  unblock(from: string, to: string): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  /** One end closes the link and avoids it for a while. */
  ban(id: string, peer: Author, forMs: number): void {
    for (const link of this.#links.values()) {
      const other = link.ends.find((end) => end !== id);
      if (!link.ends.includes(id) || this.#endpoints.get(other ?? "")?.author !== peer) continue;
      this.#break(link, forMs);
    }
  }

  /** Sends on that link, if it still stands. */
  send(
    from: string,
    to: Author,
    payload: Payload & { readonly extraMs: number; readonly session: number },
  ): void {
    for (const link of this.#links.values()) {
      if (!link.isUp || link.generation !== payload.session || !link.ends.includes(from)) continue;
      const other = link.ends[0] === from ? link.ends[1] : link.ends[0];
      if (this.#endpoints.get(other)?.author === to)
        this.#carry(link, { from, to: other, ...payload }, payload.extraMs);
    }
  }

  #carry(link: Link, carried: Carried, extraMs: number): void {
    const { from, to, frame } = carried;
    this.frames++;
    const { clog, cut, bandwidth } = this.weather;
    if (this.#random.chance(cut)) return this.#break(link);
    const direction = `${from}>${to}`;
    const clogMs = this.#random.chance(clog) ? this.#random.below(5000) : 0;
    const delayMs = this.delayMs() + clogMs + extraMs + frame.length / bandwidth;
    const now = this.#scheduler.nowMs;
    const arrivesMs = Math.max((link.lastMs.get(direction) ?? 0) + 0.001, now + delayMs);
    link.lastMs.set(direction, arrivesMs);
    this.onFrame({ from, to, frame, sentMs: now, arrivesMs });
    this.#arrive(link, carried, arrivesMs);
  }

  #arrive(link: Link, carried: Carried, atMs: number): void {
    const { generation } = link;
    this.#scheduler.after(atMs - this.#scheduler.nowMs, () => {
      if (link.generation !== generation) return;
      const held = link.held.get(carried.from) ?? [];
      // A blocked path holds what it carries, in its order: it comes once the path is free, unless the link breaks.
      if (held.length === 0 && !this.#isBlocked(carried.from, carried.to))
        return this.#deliver(carried);
      held.push(carried);
      link.held.set(carried.from, held);
      if (held.length === 1) this.#release(link, carried.from);
    });
  }

  #release(link: Link, from: string): void {
    const { generation } = link;
    this.#scheduler.after(100, () => {
      if (link.generation !== generation) return;
      const held = link.held.get(from) ?? [];
      for (let next = held[0]; next !== undefined; next = held[0]) {
        if (link.generation !== generation) return;
        if (this.#isBlocked(next.from, next.to)) return this.#release(link, from);
        held.shift();
        this.#deliver(next);
      }
    });
  }

  #deliver({ from, to, frame, isFromTwin }: Carried): void {
    const sender = this.#endpoints.get(from);
    this.onDelivered(from, to, frame);
    if (sender !== undefined) this.#endpoints.get(to)?.frame(sender.author, frame, isFromTwin);
  }

  /** One way, milliseconds. */
  delayMs(): number {
    const { delayMs, tail } = this.weather;
    const u = (this.#random.below(1_000_000) + 1) / 1_000_001;
    return (
      delayMs * (0.5 - 0.5 * Math.log(u)) +
      (this.#random.chance(tail) ? this.#random.below(1000) : 0)
    );
  }

  /** Nothing goes from one to the other, nor back. */
  isCut(from: string, to: string): boolean {
    return this.#isBlocked(from, to) || this.#isBlocked(to, from);
  }

  #isBlocked(from: string, to: string): boolean {
    return this.#blocked.has(`${from}>${to}`);
  }

  #link(a: string, b: string): Link {
    const ends = a < b ? ([a, b] as const) : ([b, a] as const);
    const key = ends.join("-");
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { ends, generation: 0, isUp: false, lastMs: new Map(), held: new Map() };
      this.#links.set(key, link);
    }
    return link;
  }

  #dial(a: string, b: string, backoffMs: number): void {
    if (a === b || this.#endpoints.get(a)?.author === this.#endpoints.get(b)?.author) return;
    const link = this.#link(a, b);
    this.#scheduler.after(this.delayMs() + this.#random.below(backoffMs), () => {
      const [one, two] = [this.#endpoints.get(a), this.#endpoints.get(b)];
      if (one === undefined || two === undefined || link.isUp) return;
      if (this.#isBlocked(a, b) || this.#isBlocked(b, a))
        return this.#dial(a, b, Math.min(backoffMs * 2, silentMs));
      link.isUp = true;
      one.up(two.author, link.generation);
      two.up(one.author, link.generation);
    });
  }

  #break(link: Link, avoidMs = 100): void {
    if (!link.isUp) return;
    link.isUp = false;
    link.held.clear();
    link.generation++;
    const [a, b] = link.ends;
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const peer = this.#authors.get(other);
      if (peer !== undefined) this.#endpoints.get(self)?.down(peer);
    }
    this.#scheduler.after(avoidMs, () => this.#dial(a, b, 100));
  }
}
