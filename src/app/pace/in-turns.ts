import { setImmediate } from "node:timers/promises";
import type { Steps } from "../../core/base/index.ts";

/** Work that is done at once, as steps count it: some ten milliseconds. */
const workAtOnce = 1024;

/** Long work beside everything else: after so much of it, others have their turn. */
export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  for (let work = workAtOnce; ; ) {
    const step = steps.next();
    if (step.done === true) return step.value;
    work -= step.value;
    if (work > 0) continue;
    await setImmediate();
    work = workAtOnce;
  }
}
