import { crc32 } from "node:zlib";
import { type Digest, fromBase64 } from "../../core/base/index.ts";
import { type Ask, askJson } from "./transfer.ts";

/**
 * Checksums (CRC-32) of the chunks of a blob that a server holds, as it says: a hint where to look for equal bytes,
 * never a proof. Whatever is put together with it must still have its digest.
 */
export interface BlobSums {
  /** Bytes. */
  readonly size: number;
  readonly chunkBytes: number;
  readonly sums: readonly number[];
}

/** How many of a blob's first and last bytes another one has too, at its beginning and end. */
export interface Overlap {
  readonly prefix: number;
  readonly suffix: number;
}

/** Bytes `start` to `end` (exclusive) of a local blob. */
export type ReadLocal = (start: number, end: number) => Promise<Uint8Array>;

const chunkBounds = { least: 4096, most: 16 * 1024 * 1024 };

/**
 * What a server says of a blob; `undefined` if that cannot be used.
 *
 * @throws {ServerError} if it says nothing of it: it may not have the blob yet
 */
export async function askSums(
  server: string,
  digest: Digest,
  options: Pick<Ask, "patienceMs" | "signal"> = {},
): Promise<BlobSums | undefined> {
  return sumsOf(await askJson(`${server}/.smalti/v1/blobs/${digest}/sums`, options));
}

function sumsOf({ size, chunkBytes, sums }: Record<string, unknown>): BlobSums | undefined {
  if (typeof size !== "number" || typeof chunkBytes !== "number" || typeof sums !== "string")
    return undefined;
  if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(chunkBytes))
    return undefined;
  if (chunkBytes < chunkBounds.least || chunkBytes > chunkBounds.most) return undefined;
  const bytes = fromBase64(sums);
  if (bytes?.length !== 4 * Math.ceil(size / chunkBytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const list = Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i));
  return { size, chunkBytes, sums: list };
}

/** Bytes that are read at once, or one chunk. */
const windowBytes = 4 * 1024 * 1024;

/**
 * Compares chunk by chunk from both ends: finds all of an append, of a cut, and of any change in one place; between two
 * changes that are far apart, everything counts as changed.
 */
export async function overlapOf(
  remote: BlobSums,
  local: { readonly size: number; readonly read: ReadLocal },
): Promise<Overlap> {
  const { size, chunkBytes, sums } = remote;
  const all = Array.from(sums.keys());
  const isInBoth = (i: number): boolean => (i + 1) * chunkBytes <= Math.min(size, local.size);
  const prefix = chunkBytes * (await countEqual(remote, local, all.filter(isInBoth)));
  const shift = local.size - size;
  const isBehind = (i: number): boolean => i * chunkBytes + Math.min(0, shift) >= prefix;
  const fromEnd = await countEqual(remote, local, all.filter(isBehind).reverse(), shift);
  return { prefix, suffix: fromEnd === 0 ? 0 : size - (sums.length - fromEnd) * chunkBytes };
}

/** How many of the chunks, the first of them first, are the same `shift` bytes further on in the local blob. */
// biome-ignore lint/complexity/useMaxParams: two blobs, and where in them
async function countEqual(
  { size, chunkBytes, sums }: BlobSums,
  local: { readonly read: ReadLocal },
  chunks: readonly number[],
  shift = 0,
): Promise<number> {
  const startOf = (i: number): number => i * chunkBytes;
  const endOf = (i: number): number => Math.min(size, startOf(i + 1));
  const atOnce = Math.max(1, Math.floor(windowBytes / chunkBytes));
  for (let done = 0; done < chunks.length; done += atOnce) {
    const some = chunks.slice(done, done + atOnce);
    const [first, last] = [Math.min(...some), Math.max(...some)];
    const bytes = await local.read(startOf(first) + shift, endOf(last) + shift);
    const isEqual = (i: number): boolean =>
      crc32(bytes.subarray(startOf(i) - startOf(first), endOf(i) - startOf(first))) === sums[i];
    const differs = some.findIndex((i) => !isEqual(i));
    if (differs >= 0) return done + differs;
  }
  return chunks.length;
}
