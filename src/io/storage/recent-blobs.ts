import type { Digest } from "../../core/base/index.ts";

const totalBytesMax = 16 * 1024 * 1024;
const blobBytesMax = 64 * 1024;

/** Small blobs that were read and verified lately; the first to come is the first to go. */
export class RecentBlobs {
  readonly #blobs = new Map<Digest, Uint8Array>();
  #bytes = 0;

  get(digest: Digest): Uint8Array | undefined {
    return this.#blobs.get(digest);
  }

  forget(digest: Digest): void {
    this.#bytes -= this.#blobs.get(digest)?.length ?? 0;
    this.#blobs.delete(digest);
  }

  keep(digest: Digest, bytes: Uint8Array): void {
    if (bytes.length > blobBytesMax || this.#blobs.has(digest)) return;
    this.#blobs.set(digest, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, blob] of this.#blobs) {
      if (this.#bytes <= totalBytesMax) return;
      this.#blobs.delete(oldest);
      this.#bytes -= blob.length;
    }
  }
}
