import { type Digest, equalBytes, limits, type Result } from "../../core/base/index.ts";
import { chunksDigest, type Leaf } from "../../core/mirror/index.ts";
import { ChunkSums } from "./chunk-sums.ts";
import { type BlobSink, fill, leastBytesPerMs } from "./large-blob.ts";
import { type Lie, type PoolOptions, ServerPool, smallHedgeMs, wrong } from "./server-pool.ts";
import { askBulk, askBytes, groupsOf, ServerError } from "./transfer.ts";
import { isBlob } from "./trust.ts";

const bulkCount = 1024;
const doubtsKept = 64;
const done: Result<undefined> = { ok: true, value: undefined };

/** True if these bytes are the first chunks of a list. */
function areChunks(bytes: Uint8Array, list: Uint8Array): boolean {
  const sums = new ChunkSums();
  sums.update(bytes);
  const made = sums.list();
  return equalBytes(made, list.subarray(0, made.length));
}

/** A large file whose chunks its leaf commits to. */
export type ChunkedFile = Extract<Leaf, { kind: "file" }> & { readonly chunks: Digest };

/** Content by its digest, from servers that nobody trusts: verified before it is handed out. */
export class ContentClient {
  protected readonly pool: ServerPool;
  /** By file, servers whose bytes do not fit its list of chunks. */
  readonly #doubted = new Map<Digest, Set<string>>();

  constructor(options: PoolOptions) {
    this.pool = new ServerPool(options);
  }

  get servers(): readonly string[] {
    return this.pool.servers;
  }

  /** Lies that were told so far. */
  get lies(): readonly Lie[] {
    return this.pool.lies;
  }

  /** The servers in the order in which they are asked, and who is asked last for a reason. */
  get standings(): readonly { readonly url: string; readonly isAvoided: boolean }[] {
    return this.pool.order.map((url) => ({ url, isAvoided: this.pool.isAvoided(url) }));
  }

  /** Remembers who lied before this client was made. */
  distrust(servers: Iterable<string>): void {
    this.pool.distrust(servers);
  }

  /** Many small blobs; each is handed out as soon as it is verified, in no order. */
  async *smallBlobs(
    digests: Iterable<Digest>,
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    for (const group of groupsOf(digests, bulkCount)) {
      let missing = group;
      while (missing.size > 0) {
        const wanted = missing;
        const got = await this.pool.first(`${wanted.size} files`, (server) =>
          this.#bulkFrom(server, wanted),
        );
        yield* got;
        missing = new Set(
          [...wanted].filter((digest) => !got.some((item) => item.digest === digest)),
        );
      }
    }
  }

  async #bulkFrom(
    server: string,
    wanted: ReadonlySet<Digest>,
  ): Promise<Result<readonly { readonly digest: Digest; readonly bytes: Uint8Array }[]>> {
    const got: { digest: Digest; bytes: Uint8Array }[] = [];
    const { patienceMs } = this.pool;
    for await (const { digest, bytes } of askBulk(server, "blobs", wanted, {
      deadlineMs: 8 * patienceMs,
    })) {
      if (!isBlob(bytes, digest)) return wrong(`blob ${digest.slice(0, 16)}… has other bytes`);
      got.push({ digest, bytes: Buffer.from(bytes) });
    }
    if (got.length === 0)
      throw new ServerError(server, 404, "NOT_FOUND", "none of the files is there");
    return { ok: true, value: got };
  }

  /** The SHA-256 of each chunk of a file, as its leaf commits to them; 32 bytes each. */
  chunkList(file: ChunkedFile): Promise<Uint8Array> {
    const bytes = 32 * Math.ceil(file.size / limits.blobChunkBytes);
    return this.pool.first<Uint8Array>(
      `the chunks of ${file.digest.slice(0, 16)}…`,
      async (server) => {
        const url = `${server}/.smalti/v1/blobs/${file.digest}/chunks`;
        const list = new Uint8Array(
          await askBytes(url, bytes, { patienceMs: this.pool.patienceMs }),
        );
        if (list.length === bytes && chunksDigest(list) === file.chunks)
          return { ok: true, value: list };
        // The digest of the list is its publisher's word: it may be wrong, and the server right.
        throw new ServerError(url, 404, "OTHER_CHUNKS", "its list of chunks is not the tree's");
      },
    );
  }

  /** Some chunks of a file that stand together, each verified. */
  chunks(
    file: ChunkedFile,
    list: Uint8Array,
    { first, count }: { readonly first: number; readonly count: number },
  ): Promise<Uint8Array> {
    const start = first * limits.blobChunkBytes;
    const end = Math.min(file.size, (first + count) * limits.blobChunkBytes);
    return this.pool.first<Uint8Array>(`a part of ${file.digest.slice(0, 16)}…`, async (server) => {
      const url = `${server}/.smalti/blob/sha256/${file.digest}`;
      const headers = { range: `bytes=${start}-${end - 1}` };
      const { patienceMs } = this.pool;
      const deadlineMs = patienceMs + Math.ceil((end - start) / leastBytesPerMs);
      const bytes = await askBytes(url, end - start, { headers, patienceMs, deadlineMs });
      if (bytes.length < end - start)
        throw new ServerError(url, 200, "CUT_SHORT", `only ${bytes.length} bytes came`);
      if (areChunks(bytes, list.subarray(32 * first))) return { ok: true, value: bytes };
      this.#doubt(file.digest, server);
      throw new ServerError(url, 206, "OTHER_CHUNKS", "the bytes are not those in the list");
    });
  }

  /**
   * A list of chunks is its publisher's word, and may come from a server that is his friend: whose bytes differ from it is
   * a liar only once the list is known to make up the file.
   */
  #doubt(digest: Digest, server: string): void {
    const doubted = this.#doubted.get(digest) ?? new Set();
    this.#doubted.set(digest, doubted.add(server));
    for (const oldest of this.#doubted.keys())
      if (this.#doubted.size > doubtsKept) this.#doubted.delete(oldest);
  }

  /** The whole of the file was put together by its list of chunks, and `isRight`: it is what its digest says. */
  judgeChunks(digest: Digest, isRight: boolean): void {
    const detail = `a part of blob ${digest.slice(0, 16)}… has other bytes`;
    const doubted = this.#doubted.get(digest) ?? [];
    this.#doubted.delete(digest);
    if (isRight) for (const server of doubted) this.pool.lie(server, "WRONG_BYTES", detail);
  }

  /** A blob of one chunk at most, through the path that people use, verified before it is returned. */
  small(digest: Digest, url: string): Promise<Uint8Array> {
    const get = async (server: string): Promise<Result<Uint8Array>> => {
      const bytes = await askBytes(`${server}${url}`, limits.blobChunkBytes, {
        patienceMs: this.pool.patienceMs,
      });
      return isBlob(bytes, digest)
        ? { ok: true, value: bytes }
        : wrong(`${url} has other bytes than height and path say`);
    };
    return this.pool.first(`blob ${digest.slice(0, 16)}…`, get, { url, hedgeMs: smallHedgeMs });
  }

  /**
   * Streams a large blob into `sink` and verifies the whole of it, going on after what the sink has already.
   * Returns after the digest is proven; on a lie the sink is told to begin again.
   */
  async large(
    blob: { readonly digest: Digest; readonly size: number },
    sink: BlobSink,
  ): Promise<void> {
    await this.pool.first<undefined>(`blob ${blob.digest.slice(0, 16)}…`, async (server) => {
      // What another server left may be wrong: nobody is blamed before he has brought it all himself.
      if ((await sink.offset()) > 0 && (await this.#brings(server, blob, sink)) === undefined)
        return done;
      await sink.reset();
      const fault = await this.#brings(server, blob, sink);
      if (fault === undefined) return done;
      await sink.reset();
      return wrong(fault);
    });
  }

  /** Fetches the rest from one server; returns what is wrong with the whole, if anything. */
  async #brings(
    server: string,
    blob: { readonly digest: Digest; readonly size: number },
    sink: BlobSink,
  ): Promise<string | undefined> {
    const hash = await sink.hash();
    const fault = await fill(server, blob, { sink, hash });
    if (fault !== undefined || hash.digest("hex") === blob.digest) return fault;
    return `blob ${blob.digest.slice(0, 16)}… has other bytes`;
  }
}
