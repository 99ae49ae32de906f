import type { Digest } from "../../core/base/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import { ChunkSums } from "../client/index.ts";
import { FewAtOnce } from "../pace/index.ts";

/** Lists that are remembered; each has 32 bytes a chunk. */
const keptMax = 64;

/** The SHA-256 of each chunk of large blobs, computed when somebody asks, once for all who ask meanwhile. */
export class ChunkLists {
  readonly #lists = new Map<Digest, Promise<Uint8Array>>();
  /** Each reads a whole blob. */
  readonly #making = new FewAtOnce(2);

  of(
    blobs: Pick<BlobStore, "lend">,
    { digest, size }: { readonly digest: Digest; readonly size: number },
  ): Promise<Uint8Array> {
    const known = this.#lists.get(digest);
    if (known !== undefined) return known;
    const list = this.#making.run(() => compute(blobs.lend(digest, { start: 0, end: size })));
    this.#lists.set(digest, list);
    list.catch(() => this.#lists.delete(digest));
    for (const [oldest] of this.#lists) {
      if (this.#lists.size <= keptMax) break;
      this.#lists.delete(oldest);
    }
    return list;
  }
}

async function compute(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const sums = new ChunkSums();
  for await (const piece of pieces) sums.update(piece);
  return sums.list();
}
