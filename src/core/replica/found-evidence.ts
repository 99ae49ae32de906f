import { limits } from "../base/index.ts";
import { bytes, encode, list, read } from "../codec/index.ts";

/** Proofs that were found and are not ordered yet, as they are kept over a restart. */
export type FoundEvidence = readonly Uint8Array[];

/** So many are kept over a restart, and so many bytes; the others are found again, or not. */
const foundMax = 64;
const foundBytesMax = 4 * limits.evidenceBytesMax;

export function encodeFound(found: FoundEvidence): Uint8Array {
  const kept: Uint8Array[] = [];
  let total = 0;
  for (const wire of found) {
    total += wire.length;
    if (kept.length === foundMax || total > foundBytesMax) break;
    kept.push(wire);
  }
  return encode(kept);
}

export function decodeFound(stored: Uint8Array | undefined): FoundEvidence {
  if (stored === undefined) return [];
  const found = read(stored, list(bytes(limits.evidenceBytesMax), foundMax), "found evidence");
  return found.ok ? found.value : [];
}
