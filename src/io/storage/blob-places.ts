import { bigEndian, type Digest, readBigEndian } from "../../core/base/index.ts";
import type { Position } from "../ports/index.ts";

export const packedType = 1;

export interface PackedPlace {
  readonly kind: "packed";
  readonly position: Position;
  readonly size: number;
}

export type Place = PackedPlace | { readonly kind: "large"; readonly size: number };

export function encodePlace(place: Place): Uint8Array {
  if (place.kind === "large") return Buffer.concat([Buffer.from([1]), bigEndian(place.size, 6)]);
  const { segment, offset } = place.position;
  return Buffer.concat([
    Buffer.from([0]),
    bigEndian(place.size, 6),
    bigEndian(segment, 4),
    bigEndian(offset, 6),
  ]);
}

export function decodePlace(bytes: Uint8Array): Place {
  const size = readBigEndian(bytes.subarray(1, 7));
  if (bytes[0] === 1) return { kind: "large", size };
  const position = {
    segment: readBigEndian(bytes.subarray(7, 11)),
    offset: readBigEndian(bytes.subarray(11, 17)),
  };
  return { kind: "packed", position, size };
}

export interface PackedBlob {
  readonly digest: Digest;
  readonly position: Position;
  readonly size: number;
}

const runBytesMax = 1024 * 1024;

/** Neighbours in the packs are read together. */
export function* runsOf(items: readonly PackedBlob[]): Generator<PackedBlob[]> {
  const sorted = items.toSorted(
    (a, b) => a.position.segment - b.position.segment || a.position.offset - b.position.offset,
  );
  let run: PackedBlob[] = [];
  for (const item of sorted) {
    const [first] = run;
    const isNear =
      first !== undefined &&
      item.position.segment === first.position.segment &&
      item.position.offset + item.size - first.position.offset <= runBytesMax;
    if (!isNear && run.length > 0) {
      yield run;
      run = [];
    }
    run.push(item);
  }
  if (run.length > 0) yield run;
}
