/** A broken invariant of our own: never a peer's or an operator's fault. The process must not go on. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Crashes on a bug of ours, also in production. `message` states what must hold. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${message}`);
}

/** The end of an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable case: ${JSON.stringify(value)}`);
}

/** Returns `value`, crashing when an index or a map lookup that must succeed did not. */
export function defined<T>(value: T | undefined, what: string): T {
  assert(value !== undefined, `${what} is present`);
  return value;
}
