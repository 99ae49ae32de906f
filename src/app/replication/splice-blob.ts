import type { Digest } from "../../core/base/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";

/** What comes, between the first and the last bytes of a blob that is here; pieces are lent. */
export async function* spliceBlob(
  blobs: BlobStore,
  base: { readonly digest: Digest; readonly prefix: number; readonly suffix: number },
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const size = blobs.size(base.digest) ?? 0;
  if (base.prefix > 0) yield* blobs.lend(base.digest, { start: 0, end: base.prefix });
  yield* content;
  if (base.suffix > 0) yield* blobs.lend(base.digest, { start: size - base.suffix, end: size });
}
