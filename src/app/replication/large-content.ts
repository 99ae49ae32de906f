import { Readable } from "node:stream";
import type { Digest } from "../../core/base/index.ts";
import { CodedError } from "../../core/base/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import { BlobError } from "../../io/storage/index.ts";
import { ask, askSums, overlapOf, readAll, stopWith, transferMs } from "../client/index.ts";
import type { Log } from "../telemetry/index.ts";
import { spliceBlob } from "./splice-blob.ts";

/** A blob that is fetched alone, and one here that probably shares most of its bytes. */
interface Large {
  readonly digest: Digest;
  readonly size: number;
  readonly base: Digest | undefined;
}

/** Bytes of a blob from `start` to `end`, exclusive. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly patienceMs?: number;
}

/** Fetches blobs that are too large to come together with others: from where they stopped, and only what is new of them. */
export class LargeContent {
  readonly #blobs: BlobStore;
  readonly #log: Log;
  readonly #onBytes: (source: string, bytes: number) => void;
  readonly #signal: AbortSignal;
  /** Blobs that come from somewhere. */
  readonly #coming = new Map<Digest, Promise<void>>();

  constructor(options: {
    readonly blobs: BlobStore;
    readonly log: Log;
    readonly onBytes: (source: string, bytes: number) => void;
    readonly signal: AbortSignal;
  }) {
    this.#blobs = options.blobs;
    this.#log = options.log;
    this.#onBytes = options.onBytes;
    this.#signal = options.signal;
  }

  /** Once at a time: what two updates name, or one that is published while it is fetched ahead, is not fetched twice. */
  async fetch(source: string, blob: Large, patienceMs: number): Promise<void> {
    const { digest } = blob;
    await this.#coming.get(digest)?.catch(() => undefined);
    if (this.#blobs.has(digest) || this.#coming.has(digest)) return;
    const coming = this.#bring(source, blob, patienceMs).finally(() => this.#coming.delete(digest));
    this.#coming.set(digest, coming);
    await coming;
  }

  async #bring(source: string, blob: Large, patienceMs: number): Promise<void> {
    const { digest, size, base } = blob;
    const offset = await this.#blobs.partialSize(digest);
    if (
      offset === 0 &&
      base !== undefined &&
      (await this.#fetchChanged(source, blob, { base, patienceMs }))
    )
      return;
    const part = { start: offset, end: size, patienceMs };
    const { body, from } = await this.#bytesFrom(source, blob, part);
    await this.#blobs.putLarge({ digest, size, offset: from }, body);
    this.#onBytes(source, size - from);
  }

  /**
   * Only what differs from a blob that is here; false if nothing is shared, or if the source's hints were wrong. A source that
   * has no hints does not have the blob yet: were it asked for the whole, it might have it by then.
   */
  async #fetchChanged(
    source: string,
    { digest, size }: { readonly digest: Digest; readonly size: number },
    { base, patienceMs }: { readonly base: Digest; readonly patienceMs: number },
  ): Promise<boolean> {
    const asked = { patienceMs, signal: this.#signal };
    const [sums, baseSize] = [await askSums(source, digest, asked), this.#blobs.size(base)];
    if (sums?.size !== size || baseSize === undefined) return false;
    const read = (start: number, end: number): Promise<Uint8Array> =>
      readAll(this.#blobs.stream(base, start, end), end - start, base);
    const { prefix, suffix } = await overlapOf(sums, { size: baseSize, read });
    if (prefix + suffix === 0) return false;
    const end = size - suffix;
    const middle =
      end > prefix
        ? (await this.#bytesFrom(source, { digest, size }, { start: prefix, end, patienceMs })).body
        : Readable.from([]);
    try {
      const whole = spliceBlob(this.#blobs, { digest: base, prefix, suffix }, middle);
      await this.#blobs.putLarge({ digest, size, offset: 0 }, whole);
      this.#onBytes(source, end - prefix);
      return true;
    } catch (error) {
      if (!(error instanceof BlobError)) throw error;
      this.#log.debug({ source, digest }, "content: the parts did not make the whole");
      return false;
    }
  }

  /**
   * The bytes of a blob from `start` to `end`, or all of them where the source knows no ranges. A source that drips is left
   * for the next one, which goes on where it ended.
   */
  async #bytesFrom(
    source: string,
    { digest, size }: { readonly digest: Digest; readonly size: number },
    { start, end, patienceMs }: Part,
  ): Promise<{ readonly body: AsyncIterable<Uint8Array>; readonly from: number }> {
    const isPart = (start > 0 && start < size) || end < size;
    const headers: Record<string, string> = isPart ? { range: `bytes=${start}-${end - 1}` } : {};
    const stop = stopWith(this.#signal);
    const timer = setTimeout(
      () => stop.abort(new CodedError("TOO_SLOW", "too slow")),
      transferMs(end - start),
    );
    const done = (): void => {
      clearTimeout(timer);
      stop.end();
    };
    const { body, statusCode } = await ask(`${source}/.smalti/blob/sha256/${digest}`, {
      headers,
      signal: stop.signal,
      ...(patienceMs === undefined ? {} : { patienceMs }),
    }).catch((error: unknown) => {
      done();
      throw error;
    });
    body.once("close", done);
    return { body, from: statusCode === 206 ? start : 0 };
  }
}
