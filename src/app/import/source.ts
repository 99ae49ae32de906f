import type { Leaf } from "../../core/mirror/index.ts";

/** An archive elsewhere cannot be read, or is not what it says it is. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  readonly code = "SOURCE";
}

/** What an update says about one path of its tree. */
export interface Claim {
  readonly path: string;
  readonly leaf: Leaf;
}

/** A path whose bytes are not what the source has there. */
export interface Doubt {
  readonly path: string;
  readonly why: string;
}

/** What somebody who checks an update has at hand. */
export interface Seen {
  /** The bytes that the update brings for a path; files of several MiB are asked for as {@link file}. */
  readonly bytes: (path: string) => Promise<Uint8Array>;
  /** The same, as a file of their own that may be read until the check ends. */
  readonly file: (path: string) => Promise<string>;
  /** A directory of this check's own, kept between checks of one source. */
  readonly work: string;
}

export interface Progress {
  readonly onFile?: (path: string) => void;
  readonly onBytes?: (bytes: number) => void;
  /** What people should know of the archive, and can do nothing about. */
  readonly onNote?: (text: string) => void;
  /** Something of the source is left out. */
  readonly onOmitted?: (path: string, why: string) => void;
}

/** One kind of archive that a tree can follow. */
export interface Source {
  /** Brings what the source has now, with the help of `work`, kept between calls; returns the directory to publish. */
  bring(work: string, progress: Progress): Promise<string>;
  /**
   * Looks at the source with own eyes. Returns where it differs from the claims; nothing if all of it is there now.
   * What the claims leave out is not noticed: a source may be followed in part.
   */
  witness(claims: readonly Claim[], seen: Seen): Promise<readonly Doubt[]>;
}

export const differs = (path: string): Doubt => ({ path, why: "the source has other bytes" });
export const missing = (path: string): Doubt => ({ path, why: "the source has nothing there" });
export const foreign = (path: string): Doubt => ({
  path,
  why: "an import of this kind makes no such path",
});

/** Answers that are remembered: each may be of many megabytes. */
const answersKept = 64;

/** Asks once for each name that was asked for lately. */
export function remembered<T>(ask: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const asked = new Map<string, Promise<T>>();
  return (name) => {
    const found = asked.get(name) ?? ask(name);
    asked.set(name, found);
    for (const oldest of asked.keys()) if (asked.size > answersKept) asked.delete(oldest);
    return found;
  };
}

/** `work` for each item, so many at once; the first error ends it. */
export async function parallel<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value);
    }),
  );
}
