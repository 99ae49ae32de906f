import type { LoopClock } from "../loop/index.ts";

/** Time of this machine, as the loop of a host needs it. */
export const systemClock: LoopClock = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
  arrived: () => new Promise((resolve) => setImmediate(resolve)),
};
