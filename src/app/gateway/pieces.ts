import { limits, toHex } from "../../core/base/index.ts";
import { chunksDigest, type Leaf } from "../../core/mirror/index.ts";
import { ChunkLists } from "./chunk-lists.ts";
import type { TreeHost } from "./tree-host.ts";

/** A file in parts that can be checked and fetched by themselves; all are as long, but for the last one. */
export interface FilePieces {
  readonly length: number;
  readonly sha256: readonly string[];
}

/** Anybody may ask for the pieces of a file, which cost a reading of all of it, once: larger ones are told without. */
const piecedBytesMax = 1024 * limits.blobChunkBytes;

/** The pieces of files, for clients that mend a part from another mirror. */
export class Pieces {
  readonly #lists = new ChunkLists();

  /** Of a large file its chunks, as its leaf commits to them; `undefined` where its content is not here. */
  async of(
    blobs: TreeHost["blobs"],
    { digest, size, chunks }: Extract<Leaf, { kind: "file" }>,
  ): Promise<FilePieces | undefined> {
    if (size === 0) return undefined;
    if (size <= limits.blobChunkBytes) return { length: size, sha256: [digest] };
    if (chunks === undefined || size > piecedBytesMax || !blobs.has(digest)) return undefined;
    const list = await this.#lists.of(blobs, { digest, size }).catch(() => undefined);
    if (list === undefined || chunksDigest(list) !== chunks) return undefined;
    const count = list.length / 32;
    const sha256 = Array.from({ length: count }, (_, i) =>
      toHex(list.subarray(32 * i, 32 * i + 32)),
    );
    return { length: limits.blobChunkBytes, sha256 };
  }
}
