import { type Author, assert, limits, type PublicKey } from "../base/index.ts";

/** One writer as a committee knows it: one key per role. */
export interface Writer {
  readonly index: Author;
  /** Short unique name, e.g. `w0`. */
  readonly name: string;
  /** Identity on links between hosts. */
  readonly nodeKey: PublicKey;
  /** Signs blocks. */
  readonly blockKey: PublicKey;
  /** Cosigns checkpoints. */
  readonly cosignKey: PublicKey;
}

/** Largest f with n ≥ 3f+1. */
export function faultsTolerated(n: number): number {
  assert(
    Number.isInteger(n) && n >= 1 && n <= limits.committeeWritersMax,
    "a committee has 1…64 writers",
  );
  return Math.floor((n - 1) / 3);
}
