/**
 * Long work in steps: each step yields how much was done since the last one, in units of some ten microseconds. Whoever
 * runs it decides how much is done at once; the result does not depend on that.
 */
export type Steps<T> = Generator<number, T, undefined>;

/** All of it at once. */
export function allAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
