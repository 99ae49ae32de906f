/** Wakes whoever waits for news. */
export class Signal {
  #waiters = new Set<() => void>();

  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Resolves once `isTrue()`, or after `waitMs`; says which. */
  async until(isTrue: () => boolean, waitMs: number): Promise<boolean> {
    const deadline = performance.now() + waitMs;
    while (!isTrue()) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.next(left);
    }
    return true;
  }

  /** Resolves at the next news, or after `waitMs`. */
  next(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, waitMs);
      this.#waiters.add(wake);
    });
  }
}
