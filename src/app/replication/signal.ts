import type { Wait } from "../gateway/index.ts";

/** What still loops while everything closes leaves the others their turn. */
const lastWaitMs = 20;

/** Wakes whoever waits for news. */
export class Signal {
  #waiters = new Set<() => void>();
  #isClosed = false;

  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** There will be no more news: who waits goes on at once, and from now on nobody waits for long. */
  close(): void {
    this.#isClosed = true;
    this.notify();
  }

  /** Resolves once `isTrue()`, or when the wait is over; says which. */
  async until(isTrue: () => boolean, { ms, signal }: Wait): Promise<boolean> {
    const deadline = performance.now() + ms;
    while (!isTrue()) {
      const left = deadline - performance.now();
      if (left <= 0 || this.#isClosed || signal?.aborted === true) return false;
      await this.next(left, signal);
    }
    return true;
  }

  /** Resolves at the next news, after `waitMs`, or when `signal` says so. */
  next(waitMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, this.#isClosed ? Math.min(waitMs, lastWaitMs) : waitMs);
      this.#waiters.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}
