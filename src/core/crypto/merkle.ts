import { assert, defined, equalBytes } from "../base/index.ts";
import { sha256Bytes } from "./digest.ts";

/** The Merkle log of RFC 6962 §2.1: hashes are 32 bytes; leaf and node hashes are domain-separated. */

const leafPrefix = Uint8Array.of(0);
const nodePrefix = Uint8Array.of(1);

/** Hash of a leaf (RFC 6962 §2.1). */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256Bytes(leafPrefix, leaf);
}

/** Hash of two subtrees (RFC 6962 §2.1). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256Bytes(nodePrefix, left, right);
}

/** The hashes of the complete subtrees that make up a log of `size` leaves, largest first. */
export interface Frontier {
  readonly size: number;
  readonly hashes: readonly Uint8Array[];
}

/** The log before its first leaf. */
export const emptyFrontier: Frontier = { size: 0, hashes: [] };

/** The hash of the complete subtree number `index` of 2^`level` leaves. */
export interface StoredHash {
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
}

/** The log one leaf longer, and the hashes that became complete. */
export function append(
  frontier: Frontier,
  leaf: Uint8Array,
): { frontier: Frontier; stored: StoredHash[] } {
  const hashes = [...frontier.hashes];
  let hash = leafHash(leaf);
  let index = frontier.size;
  const stored: StoredHash[] = [{ level: 0, index, hash }];
  for (let level = 1; index % 2 === 1; level++) {
    hash = nodeHash(defined(hashes.pop(), "the left sibling"), hash);
    index = (index - 1) / 2;
    stored.push({ level, index, hash });
  }
  hashes.push(hash);
  return { frontier: { size: frontier.size + 1, hashes }, stored };
}

/** RFC 6962 MTH of the log; of the empty log, the hash of nothing. */
export function rootOf(frontier: Frontier): Uint8Array {
  if (frontier.size === 0) return sha256Bytes(new Uint8Array(0));
  let root: Uint8Array | undefined;
  for (let i = frontier.hashes.length - 1; i >= 0; i--) {
    const hash = defined(frontier.hashes[i], "a frontier hash");
    root = root === undefined ? hash : nodeHash(hash, root);
  }
  return defined(root, "the root");
}

/** Looks up a {@link StoredHash}. */
export type HashReader = (level: number, index: number) => Uint8Array;

/** MTH of leaves [start, end), where start is a multiple of the largest power of two below the width. */
function rangeHash(start: number, end: number, read: HashReader): Uint8Array {
  const width = end - start;
  const level = Math.floor(Math.log2(width));
  if (2 ** level === width) return read(level, start / width);
  const split = start + 2 ** level;
  return nodeHash(rangeHash(start, split, read), rangeHash(split, end, read));
}

function splitOf(size: number): number {
  return 2 ** Math.ceil(Math.log2(size) - 1);
}

/** RFC 6962 §2.1.1 PATH(index, D[size]), leaf to root. */
export function inclusionProof(index: number, size: number, read: HashReader): Uint8Array[] {
  assert(index >= 0 && index < size, "the leaf is in the log");
  const path: Uint8Array[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const split = start + splitOf(end - start);
    if (index < split) {
      path.push(rangeHash(split, end, read));
      end = split;
    } else {
      path.push(rangeHash(start, split, read));
      start = split;
    }
  }
  return path.reverse();
}

/** True iff `proof` shows that leaf `index` of the log (`size`, `root`) hashes to `leaf` (RFC 9162 §2.1.3.2). */
// biome-ignore lint/complexity/noExcessiveCognitiveComplexity: the steps of RFC 9162, one by one
export function verifyInclusion(
  leaf: { readonly hash: Uint8Array; readonly index: number },
  log: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (leaf.index < 0 || leaf.index >= log.size) return false;
  let [node, last, hash] = [leaf.index, log.size - 1, leaf.hash];
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalBytes(hash, log.root);
}

/** RFC 6962 §2.1.2 PROOF(from, D[to]): that the log of `from` leaves is a prefix of that of `to`. */
export function consistencyProof(from: number, to: number, read: HashReader): Uint8Array[] {
  assert(from > 0 && from <= to, "the older size is in the log");
  const path: Uint8Array[] = [];
  let [start, end, whole] = [0, to, true];
  while (from !== end) {
    const split = start + splitOf(end - start);
    if (from <= split) {
      path.push(rangeHash(split, end, read));
      end = split;
    } else {
      path.push(rangeHash(start, split, read));
      start = split;
      whole = false;
    }
  }
  if (!whole) path.push(rangeHash(start, end, read));
  return path.reverse();
}

/** True iff `proof` shows that log `older` is a prefix of log `newer` (RFC 9162 §2.1.4.2). */
// biome-ignore lint/complexity/noExcessiveCognitiveComplexity: the steps of RFC 9162, one by one
export function verifyConsistency(
  older: { readonly size: number; readonly root: Uint8Array },
  newer: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (older.size === newer.size) return proof.length === 0 && equalBytes(older.root, newer.root);
  if (older.size <= 0 || older.size > newer.size) return false;
  let [node, last] = [older.size - 1, newer.size - 1];
  while (node % 2 === 1) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  const hashes = node === 0 ? [older.root, ...proof] : [...proof];
  const first = hashes.shift();
  if (first === undefined) return false;
  let [oldRoot, newRoot] = [first, first];
  for (const hash of hashes) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldRoot = nodeHash(hash, oldRoot);
      newRoot = nodeHash(hash, newRoot);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      newRoot = nodeHash(newRoot, hash);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && equalBytes(oldRoot, older.root) && equalBytes(newRoot, newer.root);
}
