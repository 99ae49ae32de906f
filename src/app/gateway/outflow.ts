import { limits } from "../../core/base/index.ts";
import { FewAtOnce } from "../pace/index.ts";
import { originOf } from "./waiters.ts";

/** Up to so many large answers at once are read far ahead of their clients, then less far, then not at all. */
const regimes = { far: 32, near: 128 };
const readsAtOnce = 8;
/** Where all places are taken, an answer of which nothing was taken for so long is cut, milliseconds. */
const stalledMs = 30_000;

/** What a large answer may hold in memory. */
export interface Flow {
  /** Bytes that are read at once; 0: as many as is fastest. */
  readonly stretchBytes: number;
  /** Whether the next piece is read while one is sent. */
  readonly isAhead: boolean;
  /** The client has taken a piece. */
  moved(): void;
  leave(): void;
}

interface Answer {
  readonly places: number;
  readonly cut: () => void;
  movedMs: number;
}

/**
 * Large answers that are being sent. Their clients take them as fast as they like, or not at all: what waits for them in
 * memory is bounded for all of them together, and those that take nothing are let go when others want their places, first
 * from where most of them are.
 */
export class Outflow {
  readonly #byOrigin = new Map<string, Set<Answer>>();
  readonly #most: number;
  readonly #now: () => number;
  #count = 0;
  /** Who waits has a place already: an answer that has begun is not refused. */
  readonly #reads = new FewAtOnce(readsAtOnce, Number.POSITIVE_INFINITY);

  constructor(most: number = limits.httpFlowsMax, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#now = now;
  }

  /**
   * `undefined` where no place is free and nobody stalls; `cut` ends the answer. `bytes`: what it holds in memory all the
   * time; a place stands for a chunk.
   */
  enter(ip: string, cut: () => void, bytes = 0): Flow | undefined {
    const places = Math.max(1, Math.ceil(bytes / limits.blobChunkBytes));
    while (this.#count + places > this.#most) if (!this.#cutStalled()) return undefined;
    const origin = originOf(ip);
    const answers = this.#byOrigin.get(origin) ?? new Set();
    this.#byOrigin.set(origin, answers);
    const answer: Answer = { places, cut, movedMs: this.#now() };
    answers.add(answer);
    this.#count += places;
    return {
      stretchBytes: this.#count <= regimes.far ? 0 : limits.blobChunkBytes,
      isAhead: this.#count <= regimes.near,
      moved: () => {
        answer.movedMs = this.#now();
      },
      leave: () => this.#leave(origin, answer),
    };
  }

  /** Reads a piece: few at once, each flow in its turn, so that small answers never stand behind all large ones. */
  reading<T>(read: () => Promise<T>): Promise<T> {
    return this.#reads.run(read);
  }

  #leave(origin: string, answer: Answer): void {
    const answers = this.#byOrigin.get(origin);
    if (answers?.delete(answer) !== true) return;
    this.#count -= answer.places;
    if (answers.size === 0) this.#byOrigin.delete(origin);
  }

  #cutStalled(): boolean {
    const before = this.#now() - stalledMs;
    const fullest = [...this.#byOrigin].sort(([, a], [, b]) => b.size - a.size);
    for (const [origin, answers] of fullest) {
      const stalled = [...answers].find(({ movedMs }) => movedMs <= before);
      if (stalled === undefined) continue;
      this.#leave(origin, stalled);
      stalled.cut();
      return true;
    }
    return false;
  }
}

/** What waits for slow clients in the memory of this process. */
export const outflow: Outflow = new Outflow();
