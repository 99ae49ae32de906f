import { isIPv6 } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import { limits } from "../../core/base/index.ts";

/** How long somebody waits for news at most, milliseconds; `signal`: until he is told to go. */
export interface Wait {
  readonly ms: number;
  readonly signal?: AbortSignal;
}

const waitMsMax = 30_000;

/** How long a request wants to wait for news, milliseconds. */
function waitOf(request: FastifyRequest): number {
  const { wait } = request.query as { wait?: string };
  const seconds = Number(wait ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, waitMsMax) : 0;
}

/** Where a request comes from, as far as one client may choose: an IPv6 subscriber has a whole /64. */
export function originOf(ip: string): string {
  if (!isIPv6(ip) || ip.includes(".")) return ip;
  const [before = "", after] = ip.split("::");
  const head = before.split(":").filter((group) => group !== "");
  const tail = after?.split(":").filter((group) => group !== "") ?? [];
  const zeros = after === undefined ? 0 : 8 - head.length - tail.length;
  return [...head, ...Array<string>(Math.max(0, zeros)).fill("0"), ...tail].slice(0, 4).join(":");
}

/**
 * Requests of one kind that wait for news. Nobody is refused: where all places are taken, whoever comes from where most
 * wait has waited longest has his answer early, as if his time were over. So a crowd of idle requests from one address
 * costs those of other addresses nothing.
 */
export class Waiters {
  /** By origin, what ends the waits from there, the oldest first. */
  readonly #byOrigin = new Map<string, Set<() => void>>();
  readonly #most: number;
  #count = 0;

  constructor(most: number = limits.httpWaitersMax) {
    this.#most = most;
  }

  /** Takes a place; `end` is called if it must be given back. Returns what gives it back. */
  enter(ip: string, end: () => void): () => void {
    if (this.#count >= this.#most) this.#endOldest();
    const origin = originOf(ip);
    const waits = this.#byOrigin.get(origin) ?? new Set();
    this.#byOrigin.set(origin, waits);
    const own = (): void => end();
    waits.add(own);
    this.#count++;
    return () => this.#leave(origin, own);
  }

  #leave(origin: string, own: () => void): void {
    const waits = this.#byOrigin.get(origin);
    if (waits?.delete(own) !== true) return;
    this.#count--;
    if (waits.size === 0) this.#byOrigin.delete(origin);
  }

  #endOldest(): void {
    let most: [string, Set<() => void>] | undefined;
    for (const entry of this.#byOrigin)
      if (most === undefined || entry[1].size > most[1].size) most = entry;
    if (most === undefined) return;
    const [origin, waits] = most;
    for (const oldest of waits) {
      this.#leave(origin, oldest);
      return oldest();
    }
  }

  /** Takes a place while `work` may wait; what does not wait needs none. Whoever hangs up waits no more. */
  async run<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    work: (wait: Wait) => Promise<T>,
  ): Promise<T> {
    const ms = waitOf(request);
    if (ms === 0) return work({ ms });
    const stop = new AbortController();
    const end = (): void => stop.abort();
    const leave = this.enter(request.ip, end);
    reply.raw.once("close", end);
    try {
      return await work({ ms, signal: stop.signal });
    } finally {
      leave();
      reply.raw.off("close", end);
    }
  }
}
