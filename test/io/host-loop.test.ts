import assert from "node:assert/strict";
import { test } from "node:test";
import { HostLoop, type LoopClock } from "../../src/app/loop/index.ts";
import type { HostStore } from "../../src/app/store/host-store.ts";
import type { MirrorState } from "../../src/core/mirror/index.ts";
import type { HostInput } from "../../src/core/replica/index.ts";

interface Timer {
  readonly dueMs: number;
  readonly then: () => void;
}

/** Time that goes on when it is told to, and a wall clock that can be set. */
class Clock implements LoopClock {
  wallMs = 1_000_000;
  #elapsedMs = 0;
  #timers: Timer[] = [];

  readonly nowMs = (): number => this.wallMs;
  readonly elapsedMs = (): number => this.#elapsedMs;
  readonly arrived = (): Promise<void> => Promise.resolve();
  readonly after = (ms: number, then: () => void): (() => void) => {
    const timer = { dueMs: this.#elapsedMs + ms, then };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  async pass(ms: number): Promise<void> {
    this.#elapsedMs += ms;
    this.wallMs += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#elapsedMs);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { then } of due) then();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A loop whose machine asks, at each message, to be woken so many milliseconds later by the wall clock. */
function loopOf(clock: Clock): {
  readonly ask: (laterMs: number) => Promise<void>;
  readonly ticks: () => number;
} {
  let ticks = 0;
  let laterMs = 0;
  const loop = new HostLoop({
    host: {
      horizon: 0,
      state: {} as MirrorState,
      step: (input: HostInput, nowMs: number) => {
        if (input.type !== "tick")
          return { records: [], effects: [{ type: "wake", atMs: nowMs + laterMs }] };
        ticks++;
        return { records: [], effects: [] };
      },
      stateWritten: () => undefined,
    },
    store: {} as HostStore,
    clock,
    perform: () => undefined,
    onFatal: (error) => Promise.reject(error),
  });
  return {
    ask: async (ms) => {
      laterMs = ms;
      loop.push({ type: "changes-here" });
      await clock.pass(0);
    },
    ticks: () => ticks,
  };
}

for (const [says, jumpMs] of [
  ["forward", 98_000],
  ["backward", -98_000],
] as const)
  test(`a wall clock that jumps ${says} puts no wake-up off`, async () => {
    const clock = new Clock();
    const { ask, ticks } = loopOf(clock);
    await ask(60_000);
    clock.wallMs += jumpMs;
    await ask(20);
    await clock.pass(19);
    assert.equal(ticks(), 0);
    await clock.pass(1);
    assert.equal(ticks(), 1);
  });

test("of two wake-ups the first counts; the same again arms nothing", async () => {
  const clock = new Clock();
  const { ask, ticks } = loopOf(clock);
  await ask(50);
  await ask(500);
  await ask(50);
  await clock.pass(50);
  assert.equal(ticks(), 1);
  await clock.pass(1000);
  assert.equal(ticks(), 1);
});
