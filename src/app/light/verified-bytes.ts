import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../core/base/index.ts";
import type { Leaf } from "../../core/mirror/index.ts";
import {
  type ChunkedFile,
  exportTree,
  type MirrorClient,
  NoHonestServerError,
} from "../client/index.ts";

type File = Extract<Leaf, { kind: "file" }>;

/** Chunks that are fetched at once. */
const stretch = 4;

export interface Wanted {
  readonly file: File;
  /** `/@HEIGHT/TREE/path`: a server that has gone on to another height is no liar. */
  readonly url: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/**
 * Bytes `start` to `end` of a file, each verified before it is handed out: small files as a whole, large ones chunk by
 * chunk, and those whose leaf commits to no chunks after the whole of them is on this disk. Throws
 * {@link NoHonestServerError} where nobody gives the right ones.
 */
export async function* verifiedBytes(
  client: MirrorClient,
  wanted: Wanted,
  spool: string,
): AsyncGenerator<Uint8Array> {
  const { file, start, end } = wanted;
  if (file.size <= limits.blobChunkBytes) {
    yield (await client.small(file.digest, wanted.url)).subarray(start, end);
    return;
  }
  const list = hasChunks(file) ? await listOf(client, file) : undefined;
  if (list === undefined || !hasChunks(file)) return yield* spooled(client, wanted, spool);
  let hasBegun = false;
  try {
    for await (const piece of chunked(client, { ...wanted, file }, list)) {
      hasBegun = true;
      yield piece;
    }
  } catch (error) {
    if (hasBegun || !(error instanceof NoHonestServerError)) throw error;
    // Nobody has what the list says: it is the list that is wrong.
    yield* spooled(client, wanted, spool);
  }
}

function hasChunks(file: File): file is ChunkedFile {
  return file.chunks !== undefined;
}

/** The list of chunks; `undefined` where nobody has one that fits: its publisher may have got it wrong. */
async function listOf(client: MirrorClient, file: ChunkedFile): Promise<Uint8Array | undefined> {
  try {
    return await client.chunkList(file);
  } catch (error) {
    if (error instanceof NoHonestServerError) return undefined;
    throw error;
  }
}

/** The next stretch is on its way while one is handed out. */
async function* chunked(
  client: MirrorClient,
  { file, start, end }: Wanted & { readonly file: ChunkedFile },
  list: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const chunk = limits.blobChunkBytes;
  const last = Math.ceil(end / chunk);
  const whole = start === 0 && end === file.size ? createHash("sha256") : undefined;
  const fetchFrom = (first: number): Promise<Uint8Array> | undefined => {
    if (first >= last) return undefined;
    const some = client.chunks(file, list, { first, count: Math.min(stretch, last - first) });
    // It may fail while the one before it is still being sent; whoever awaits it hears of that.
    some.catch(() => undefined);
    return some;
  };
  let first = Math.floor(start / chunk);
  let coming = fetchFrom(first);
  while (coming !== undefined) {
    const bytes = await coming;
    const at = first * chunk;
    first += stretch;
    coming = fetchFrom(first);
    whole?.update(bytes);
    // The chunks are their publisher's word; that they make up the file is known before the last of them leaves.
    if (coming === undefined && whole !== undefined) {
      const isRight = whole.digest("hex") === file.digest;
      client.judgeChunks(file.digest, isRight);
      if (!isRight)
        throw new NoHonestServerError("a file whose chunks are those of its digest", [], []);
    }
    yield bytes.subarray(Math.max(0, start - at), Math.max(0, end - at));
  }
}

async function* spooled(
  client: MirrorClient,
  { file, start, end }: Wanted,
  spool: string,
): AsyncGenerator<Uint8Array> {
  const directory = await mkdtemp(join(spool, "smalti-light-"));
  try {
    await exportTree(client, new Map([["content", file]]), { directory });
    const path = join(directory, "content");
    if (end > start)
      yield* createReadStream(path, { start, end: end - 1 }) as AsyncIterable<Buffer>;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
