import { type Digest, limits } from "../../core/base/index.ts";
import type { ChangeList } from "../../core/mirror/index.ts";

/** A change list by name. */
export interface ChangesRef {
  readonly digest: Digest;
  readonly bytes: number;
}

/** By the digest of a blob, that of one here which probably shares most of its bytes. */
export type Bases = ReadonlyMap<Digest, Digest>;

/** The content of a path before an update, if a file was there. */
export type Before = (tree: string, path: string) => Digest | undefined;

/** Whether what an update put at a path must be here: always, only if some source has it, or not any more. */
export type Need = (tree: string, path: string, digest: Digest) => "yes" | "if-there" | "no";

/** What helps to bring an update's content: who has it surely, what was there before, and what of it is needed. */
export interface Origin {
  readonly hint?: string | undefined;
  readonly before?: Before | undefined;
  readonly need?: Need | undefined;
  /** False once nobody needs it any more: then what is not here yet is not looked for. */
  readonly isWanted?: (() => boolean) | undefined;
}

export interface Wanted {
  readonly isWanted?: (() => boolean) | undefined;
  readonly hint?: string | undefined;
  readonly bases?: Bases;
  readonly needOf?: ((digest: Digest) => ReturnType<Need>) | undefined;
}

/**
 * Rounds without success after which what is only wanted if somebody has it is given up, and of the rest the whole is
 * asked for where only changed parts were.
 */
export const fruitlessMax = 3;

export const noBases: Bases = new Map();

/** An update names a blob with a size that it does not have: nobody can ever hold that update. */
export class WrongSizeError extends Error {
  override readonly name = "WrongSizeError";
}

export function checkSize(digest: Digest, present: number, said: number): void {
  if (present === said) return;
  throw new WrongSizeError(`blob ${digest} has ${present} bytes; an update says ${said}`);
}

export function giveUp(missing: Map<Digest, number>, isIdle: (digest: Digest) => boolean): void {
  for (const digest of missing.keys()) if (isIdle(digest)) missing.delete(digest);
}

export function isWorthIt(need: ReturnType<Need>, fruitless: number): boolean {
  return need === "yes" || (need === "if-there" && fruitless < fruitlessMax);
}

/** What must come of a content that stands at several paths: as much as one of them asks for. */
export function needsOf(changes: ChangeList, need: Need): (digest: Digest) => ReturnType<Need> {
  const paths = new Map<Digest, string[]>();
  for (const { path, leaf } of changes.changes)
    if (leaf?.kind === "file") paths.set(leaf.digest, [...(paths.get(leaf.digest) ?? []), path]);
  return (digest) => {
    const needs = (paths.get(digest) ?? []).map((path) => need(changes.tree, path, digest));
    return needs.includes("yes") ? "yes" : needs.includes("if-there") ? "if-there" : "no";
  };
}

/** For each large file of an update, what stood at its path before: most of it may be the same. */
export function basesOf(changes: ChangeList, before: Before): Bases {
  const bases = new Map<Digest, Digest>();
  for (const { path, leaf } of changes.changes) {
    if (leaf?.kind !== "file" || leaf.size <= limits.packedBlobBytesMax) continue;
    const old = before(changes.tree, path);
    if (old !== undefined && old !== leaf.digest) bases.set(leaf.digest, old);
  }
  return bases;
}
