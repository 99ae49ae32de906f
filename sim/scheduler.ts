interface Event {
  readonly atMs: number;
  readonly seq: number;
  run: (() => void) | undefined;
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
}

/** Lets everything run that waits for promises only: nothing else does in this world. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Virtual time: one heap of events in the order of (time, sequence). Milliseconds. */
export class Scheduler {
  readonly #heap: Event[] = [];
  #seq = 0;
  #nowMs = 0;
  /** Events that were run. */
  count = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Runs `run` after `ms`; returns how to call it off. */
  after(ms: number, run: () => void): () => void {
    const event: Event = { atMs: this.#nowMs + Math.max(0, ms), seq: this.#seq++, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Runs all events up to `untilMs`; `afterEach` once everything that an event set off has happened. */
  async run(untilMs: number, afterEach: () => boolean): Promise<void> {
    await settled();
    for (let next = this.#heap[0]; next !== undefined; next = this.#heap[0]) {
      if (next.atMs > untilMs) break;
      this.#pop();
      const { run } = next;
      if (run === undefined) continue;
      this.#nowMs = next.atMs;
      this.count++;
      run();
      await settled();
      if (!afterEach()) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[i] = heap[parent] as Event;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event))
        child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[i] = heap[child] as Event;
      i = child;
    }
    heap[i] = last;
  }
}
