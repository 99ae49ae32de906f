import { createHash } from "node:crypto";
import { limits } from "../../core/base/index.ts";

/** The SHA-256 of each chunk of what passes. */
export class ChunkSums {
  readonly #sums: Buffer[] = [];
  #hash = createHash("sha256");
  #filled = 0;

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const next = Math.min(bytes.length, at + limits.blobChunkBytes - this.#filled);
      this.#hash.update(bytes.subarray(at, next));
      this.#filled += next - at;
      at = next;
      if (this.#filled === limits.blobChunkBytes) this.#close();
    }
  }

  #close(): void {
    this.#sums.push(this.#hash.digest());
    this.#hash = createHash("sha256");
    this.#filled = 0;
  }

  /** 32 bytes a chunk; to be asked for once, after the last byte. */
  list(): Uint8Array {
    if (this.#filled > 0) this.#close();
    return new Uint8Array(Buffer.concat(this.#sums));
  }
}
