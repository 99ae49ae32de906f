import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type Digest, limits } from "../../core/base/index.ts";
import { ChunkSums } from "./chunk-sums.ts";

/** What is made of a large file's bytes. */
export interface HashedFile {
  readonly digest: Digest;
  /** Bytes that were read. */
  readonly size: number;
  /** SHA-256 of each chunk, 32 bytes each. */
  readonly sums: Uint8Array;
}

/** Reads a file once. */
export async function hashFile(file: string): Promise<HashedFile> {
  const hash = createHash("sha256");
  const sums = new ChunkSums();
  let size = 0;
  for await (const piece of createReadStream(file, { highWaterMark: limits.blobChunkBytes })) {
    const bytes = piece as Buffer;
    hash.update(bytes);
    sums.update(bytes);
    size += bytes.length;
  }
  return { digest: hash.digest("hex") as Digest, size, sums: sums.list() };
}
