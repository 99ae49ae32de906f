import { type Digest, limits, Prng } from "../../core/base/index.ts";
import { blobsOf, decodeChanges } from "../../core/mirror/index.ts";
import { type BlobStore, StorageError } from "../../io/ports/index.ts";
import { BlobError } from "../../io/storage/index.ts";
import { ask, askBulk } from "../client/index.ts";
import type { Log } from "./log.ts";

/** A change list by name. */
export interface ChangesRef {
  readonly digest: Digest;
  readonly bytes: number;
}

const bulkCount = 512;
const bulkParallel = 3;
const storeBatchBytes = 4 * 1024 * 1024;
const retryMs = { first: 200, longest: 5000 };

/** An update names a blob with a size that it does not have: nobody can ever hold that update. */
export class WrongSizeError extends Error {
  override readonly name = "WrongSizeError";
}

/** Fetches content by hash from whoever has it; nothing is kept that is not what its name says. */
export class ContentFetcher {
  readonly #blobs: BlobStore;
  readonly #sources: () => readonly string[];
  readonly #log: Log;
  readonly #random = new Prng(Math.floor(Math.random() * 2 ** 32));
  readonly #running = new Map<Digest, Promise<void>>();
  readonly #stop = new AbortController();
  readonly #onBytes: (source: string, bytes: number) => void;

  constructor(options: {
    readonly blobs: BlobStore;
    readonly sources: () => readonly string[];
    readonly log: Log;
    readonly onBytes: (source: string, bytes: number) => void;
  }) {
    this.#blobs = options.blobs;
    this.#sources = options.sources;
    this.#log = options.log;
    this.#onBytes = options.onBytes;
  }

  stop(): void {
    this.#stop.abort();
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** The bytes of a change list, fetched if they are not here. Retries until it has them or is stopped. */
  async changes(ref: ChangesRef, hint?: string): Promise<Uint8Array> {
    await this.#persist([[ref.digest, ref.bytes]], hint);
    return this.#blobs.read(ref.digest);
  }

  /** Resolves when the change list and every blob it names are here and durable; `false` if stopped before. */
  async ensure(ref: ChangesRef, hint?: string): Promise<boolean> {
    let running = this.#running.get(ref.digest);
    if (running === undefined) {
      running = this.#ensure(ref, hint).finally(() => this.#running.delete(ref.digest));
      this.#running.set(ref.digest, running);
    }
    await running;
    return !this.isStopped;
  }

  async #ensure(ref: ChangesRef, hint: string | undefined): Promise<void> {
    const bytes = await this.changes(ref, hint).catch((error: unknown) =>
      this.#unlessStopped(error),
    );
    if (bytes === undefined) return;
    const changes = decodeChanges(bytes);
    // A malformed list names no blobs; execution will refuse it, on every host alike.
    if (changes.ok) await this.#persist([...blobsOf(changes.value)], hint);
  }

  #unlessStopped(error: unknown): undefined {
    if (this.isStopped) return undefined;
    throw error;
  }

  /** One blob that a client asked for and that is not here. */
  async one(digest: Digest, size: number): Promise<void> {
    await this.#persist([[digest, size]], undefined);
  }

  /** Until all of `wanted` is here: from the hinted source first, then from the others in random order. */
  async #persist(
    wanted: readonly (readonly [Digest, number])[],
    hint: string | undefined,
  ): Promise<void> {
    let backoff = retryMs.first;
    let missing = this.#missing(wanted);
    while (missing.length > 0 && !this.isStopped) {
      const before = missing.length;
      for (const source of this.#order(hint)) {
        if (missing.length === 0 || this.isStopped) return;
        await this.#fetchFrom(source, missing);
        missing = this.#missing(missing);
      }
      backoff = missing.length < before ? retryMs.first : Math.min(backoff * 2, retryMs.longest);
      if (missing.length > 0) await this.#sleep(backoff);
    }
  }

  #missing(wanted: readonly (readonly [Digest, number])[]): (readonly [Digest, number])[] {
    return wanted.filter(([digest, size]) => {
      const present = this.#blobs.size(digest);
      if (present === undefined || present === size) return present === undefined;
      throw new WrongSizeError(`blob ${digest} has ${present} bytes; an update says ${size}`);
    });
  }

  #order(hint: string | undefined): readonly string[] {
    const others = this.#random.shuffled(this.#sources().filter((source) => source !== hint));
    return hint === undefined ? others : [hint, ...others];
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#stop.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms * (0.5 + Math.random()));
      this.#stop.signal.addEventListener("abort", done);
    });
  }

  async #fetchFrom(source: string, missing: readonly (readonly [Digest, number])[]): Promise<void> {
    const small = missing.filter(([, size]) => size <= limits.packedBlobBytesMax);
    const large = missing.filter(([, size]) => size > limits.packedBlobBytesMax);
    try {
      await this.#fetchSmall(source, small);
      for (const [digest, size] of large) await this.#fetchLarge(source, digest, size);
    } catch (error) {
      if (error instanceof StorageError) throw error;
      if (error instanceof BlobError)
        this.#log.warn({ source, reason: error.message }, "content: wrong bytes");
      this.#log.debug(
        { source, missing: missing.length, reason: String(error) },
        "content: source failed",
      );
    }
  }

  async #fetchSmall(source: string, wanted: readonly (readonly [Digest, number])[]): Promise<void> {
    const groups: Digest[][] = [];
    for (const [i, [digest]] of wanted.entries()) {
      if (i % bulkCount === 0) groups.push([]);
      groups.at(-1)?.push(digest);
    }
    const work = async (): Promise<void> => {
      for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
        await this.#fetchGroup(source, group);
      }
    };
    await Promise.all(Array.from({ length: bulkParallel }, work));
  }

  async #fetchGroup(source: string, digests: readonly Digest[]): Promise<void> {
    const asked = new Set(digests);
    let batch: { digest: Digest; bytes: Uint8Array }[] = [];
    let bytes = 0;
    for await (const item of askBulk(source, "blobs", digests)) {
      if (!asked.delete(item.digest)) throw new Error(`${source} sent what was not asked for`);
      batch.push(item);
      bytes += item.bytes.length;
      this.#onBytes(source, item.bytes.length);
      if (bytes < storeBatchBytes) continue;
      await this.#blobs.putSmall(batch);
      batch = [];
      bytes = 0;
    }
    await this.#blobs.putSmall(batch);
  }

  async #fetchLarge(source: string, digest: Digest, size: number): Promise<void> {
    const offset = await this.#blobs.partialSize(digest);
    const headers: Record<string, string> =
      offset > 0 && offset < size ? { range: `bytes=${offset}-` } : {};
    const { body, statusCode } = await ask(`${source}/.smalti/blob/sha256/${digest}`, {
      headers,
      signal: this.#stop.signal,
    });
    const from = statusCode === 206 ? offset : 0;
    await this.#blobs.putLarge({ digest, size, offset: from }, body);
    this.#onBytes(source, size - from);
  }
}
