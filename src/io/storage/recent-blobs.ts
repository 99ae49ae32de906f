import type { Digest } from "../../core/base/index.ts";

/** What an entry costs beside its bytes. */
const entryBytes = 512;

/** Blobs that were read and verified lately; the first to come is the first to go. */
export class RecentBlobs {
  readonly #blobs = new Map<Digest, Uint8Array>();
  readonly #bytesMax: number;
  readonly #blobBytesMax: number;
  #bytes = 0;

  /** `bytesMax` in all, and `blobBytesMax` each: longer ones are not kept. */
  constructor(bytesMax: number = 16 * 1024 * 1024, blobBytesMax: number = 64 * 1024) {
    this.#bytesMax = bytesMax;
    this.#blobBytesMax = blobBytesMax;
  }

  get(digest: Digest): Uint8Array | undefined {
    return this.#blobs.get(digest);
  }

  forget(digest: Digest): void {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return;
    this.#bytes -= blob.length + entryBytes;
    this.#blobs.delete(digest);
  }

  keep(digest: Digest, bytes: Uint8Array): void {
    if (bytes.length > this.#blobBytesMax || this.#blobs.has(digest)) return;
    this.#blobs.set(digest, ownRoom(bytes));
    this.#bytes += bytes.length + entryBytes;
    for (const oldest of this.#blobs.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.forget(oldest);
    }
  }
}

/** A small view into a large room would keep all of it. */
function ownRoom(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 2 * bytes.length ? new Uint8Array(bytes) : bytes;
}
