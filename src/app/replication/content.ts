import { type Digest, limits, Prng, type Steps } from "../../core/base/index.ts";
import { blobsOf, readingChanges } from "../../core/mirror/index.ts";
import { type BlobStore, StorageError } from "../../io/ports/index.ts";
import { BlobError, RecentBlobs } from "../../io/storage/index.ts";
import { askBulk, groupsOf, ServerError, stallMs, twoAtOnce } from "../client/index.ts";
import { inTurns } from "../pace/index.ts";
import type { Log } from "../telemetry/index.ts";
import { LargeContent } from "./large-content.ts";
import {
  type Bases,
  basesOf,
  type ChangesRef,
  checkSize,
  fruitlessMax,
  giveUp,
  isWorthIt,
  needsOf,
  noBases,
  type Origin,
  type Wanted,
  WrongSizeError,
} from "./wanted.ts";

const always = (): boolean => true;

/** What is fetched, and how long a source may say nothing, milliseconds. */
interface Fetch {
  readonly missing: Map<Digest, number>;
  readonly bases: Bases;
  readonly patienceMs: number;
}

/** A source that says nothing for so long is passed over while there are others, milliseconds. */
const shortPatienceMs = 700;
/** And is asked after them for so long. */
const lateMs = 30_000;

/** Change lists kept at hand, bytes; what was read of one takes ten times the room. */
const listsBytesMax = 4 * 1024 * 1024;
const completeKept = 1024;
const bulkCount = 512;
const bulkParallel = 3;
const storeBatchBytes = 4 * 1024 * 1024;
const retryMs = { first: 200, longest: 5000 };

/** Fetches content by hash from whoever has it; nothing is kept that is not what its name says. */
export class ContentFetcher {
  readonly #blobs: BlobStore;
  readonly #sources: () => readonly string[];
  readonly #log: Log;
  readonly #random = new Prng(Math.floor(Math.random() * 2 ** 32));
  readonly #running = new Map<Digest, Promise<Uint8Array | undefined>>();
  readonly #large: LargeContent;
  /** Change lists that were used lately: what was read of them stays read. */
  readonly #lists = new RecentBlobs(listsBytesMax, listsBytesMax);
  /** Change lists of which everything was here. */
  readonly #complete = new Set<Digest>();
  /** Sources that said nothing while something was to be fetched, and until when they are asked after the others. */
  readonly #lateUntil = new Map<string, number>();
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
    this.#large = new LargeContent({ ...options, signal: this.#stop.signal });
  }

  stop(): void {
    this.#stop.abort();
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** The bytes of a change list, fetched if they are not here. Retries until it has them or is stopped. */
  async changes(ref: ChangesRef, hint?: string): Promise<Uint8Array> {
    const known = this.#lists.get(ref.digest);
    if (known !== undefined) return known;
    await this.#persist([[ref.digest, ref.bytes]], { hint });
    const bytes = await this.#blobs.read(ref.digest);
    this.keepAtHand(ref.digest, bytes);
    return this.#lists.get(ref.digest) ?? bytes;
  }

  /** A change list that is in the store and will be asked for again soon. */
  keepAtHand(digest: Digest, bytes: Uint8Array): void {
    this.#lists.keep(digest, bytes);
  }

  /** Whether a change list and every blob that it names are here; fetches what is not. False if stopped before. */
  async complete(ref: ChangesRef, from: Origin): Promise<boolean> {
    return this.#complete.has(ref.digest) || (await this.ensure(ref, from)) !== undefined;
  }

  /** The change list, once it and every blob it names are here and durable; `undefined` if stopped before. */
  async ensure(ref: ChangesRef, from: Origin = {}): Promise<Uint8Array | undefined> {
    const { isWanted = always } = from;
    while (isWanted() && !this.isStopped) {
      let running = this.#running.get(ref.digest);
      if (running === undefined) {
        running = this.#ensure(ref, from).finally(() => this.#running.delete(ref.digest));
        this.#running.set(ref.digest, running);
      }
      const bytes = await running;
      // Another one began it, and did not want it any more.
      if (bytes !== undefined) return this.isStopped ? undefined : bytes;
    }
    return undefined;
  }

  async #ensure(
    ref: ChangesRef,
    { hint, before, need, isWanted = always }: Origin,
  ): Promise<Uint8Array | undefined> {
    await this.#persist([[ref.digest, ref.bytes]], { hint, isWanted });
    if (!isWanted()) return undefined;
    const bytes = await this.changes(ref, hint).catch((error: unknown) =>
      this.#unlessStopped(error),
    );
    if (bytes === undefined) return undefined;
    const changes = await inTurns(readingChanges(bytes));
    // A malformed list names no blobs; execution will refuse it, on every host alike.
    if (changes.ok) {
      const bases = before === undefined ? noBases : basesOf(changes.value, before);
      const needOf = need === undefined ? undefined : needsOf(changes.value, need);
      await this.#persist([...blobsOf(changes.value)], { hint, bases, needOf, isWanted });
      if (!isWanted()) return undefined;
    }
    if (!this.isStopped) this.#noteComplete(ref.digest);
    return bytes;
  }

  /**
   * What an update names, before it is published and as far as somebody has it. The change list, if it is here; what is
   * missing in the end is fetched once it is needed.
   */
  async ahead(
    ref: ChangesRef,
    { before, isWanted }: Required<Pick<Origin, "before" | "isWanted">>,
  ): Promise<Uint8Array | undefined> {
    const needOf = (): "if-there" => "if-there";
    await this.#persist([[ref.digest, ref.bytes]], { needOf, isWanted });
    if (!this.#blobs.has(ref.digest)) return undefined;
    const bytes = await this.#blobs.read(ref.digest);
    const changes = await inTurns(readingChanges(bytes));
    if (!changes.ok) return bytes;
    const bases = before === undefined ? noBases : basesOf(changes.value, before);
    await this.#persist([...blobsOf(changes.value)], { bases, needOf, isWanted });
    return bytes;
  }

  #noteComplete(digest: Digest): void {
    this.#complete.add(digest);
    if (this.#complete.size > completeKept)
      for (const oldest of this.#complete) return void this.#complete.delete(oldest);
  }

  #unlessStopped(error: unknown): undefined {
    if (this.isStopped) return undefined;
    throw error;
  }

  /** Blobs, as far as one of the sources has them; resolves with how many are still not here. */
  async ifThere(wanted: ReadonlyMap<Digest, number>): Promise<number> {
    await this.#persist([...wanted], { needOf: () => "if-there" });
    return [...wanted.keys()].filter((digest) => !this.#blobs.has(digest)).length;
  }

  /** One blob that a client asked for and that is not here. */
  async one(digest: Digest, size: number, isWanted: () => boolean): Promise<void> {
    await this.#persist([[digest, size]], { isWanted });
  }

  /** Until all of `wanted` is here: from the hinted source first, then from the others in random order. */
  async #persist(
    wanted: readonly (readonly [Digest, number])[],
    { hint, bases = noBases, needOf = () => "yes", isWanted = always }: Wanted,
  ): Promise<void> {
    let [backoff, fruitless] = [retryMs.first, 0];
    let missing = await inTurns(this.#missing(wanted));
    while (missing.size > 0 && !this.isStopped && isWanted()) {
      giveUp(missing, (digest) => !isWorthIt(needOf(digest), fruitless));
      const before = missing.size;
      await this.#askAll(missing, hint, fruitless < fruitlessMax ? bases : noBases);
      fruitless = missing.size < before ? 0 : fruitless + 1;
      backoff = fruitless === 0 ? retryMs.first : Math.min(backoff * 2, retryMs.longest);
      if (missing.size === 0) return;
      await this.#sleep(backoff);
      // A publisher may have brought it meanwhile.
      missing = await inTurns(this.#missing([...missing]));
    }
  }

  /**
   * First with little patience: who says nothing for a moment is passed over while there are others, and asked after them
   * for a while. Then, if something is still missing, with the patience that a slow source needs.
   */
  async #askAll(
    missing: Map<Digest, number>,
    hint: string | undefined,
    bases: Bases,
  ): Promise<void> {
    for (const source of this.#order(hint)) {
      if (missing.size === 0 || this.isStopped) return;
      if (this.#isLate(source)) continue;
      await this.#fetchFrom(source, { missing, bases, patienceMs: shortPatienceMs });
    }
    const late = this.#order(hint).filter((source) => this.#isLate(source));
    for (const source of late) {
      if (missing.size === 0 || this.isStopped) return;
      await this.#fetchFrom(source, { missing, bases, patienceMs: stallMs });
    }
  }

  #isLate(source: string): boolean {
    return (this.#lateUntil.get(source) ?? 0) > Date.now();
  }

  *#missing(wanted: readonly (readonly [Digest, number])[]): Steps<Map<Digest, number>> {
    const missing = new Map<Digest, number>();
    for (const [digest, size] of wanted) {
      yield 1;
      const present = this.#blobs.size(digest);
      if (present === undefined) missing.set(digest, size);
      else checkSize(digest, present, size);
    }
    return missing;
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

  /** Takes from `missing` what the source had and is durable now. */
  async #fetchFrom(source: string, fetch: Fetch): Promise<void> {
    const { missing, bases } = fetch;
    const isSmall = (size: number): boolean => size <= limits.packedBlobBytesMax;
    const small = [...missing].filter(([, size]) => isSmall(size)).map(([digest]) => digest);
    try {
      await this.#fetchSmall(source, small, fetch);
      const large = [...missing].filter(([, size]) => !isSmall(size));
      await twoAtOnce(large, async ([digest, size]) => {
        const blob = { digest, size, base: bases.get(digest) };
        await this.#large.fetch(source, blob, fetch.patienceMs);
        if (this.#blobs.has(digest)) missing.delete(digest);
      });
    } catch (error) {
      if (error instanceof StorageError || error instanceof WrongSizeError) throw error;
      if (isSilence(error)) this.#lateUntil.set(source, Date.now() + lateMs);
      if (error instanceof BlobError)
        this.#log.warn({ source, reason: error.message }, "content: wrong bytes");
      this.#log.debug(
        { source, missing: missing.size, reason: String(error) },
        "content: source failed",
      );
    }
  }

  async #fetchSmall(source: string, wanted: readonly Digest[], fetch: Fetch): Promise<void> {
    const groups = groupsOf(wanted, bulkCount);
    const work = async (): Promise<void> => {
      for (const group of groups) await this.#fetchGroup(source, group, fetch);
    };
    await Promise.all(Array.from({ length: bulkParallel }, work));
  }

  async #fetchGroup(
    source: string,
    digests: ReadonlySet<Digest>,
    { missing, patienceMs }: Fetch,
  ): Promise<void> {
    let batch: { digest: Digest; bytes: Uint8Array }[] = [];
    let bytes = 0;
    const store = async (): Promise<void> => {
      await this.#blobs.putSmall(batch);
      for (const { digest, bytes: content } of batch) {
        checkSize(digest, content.length, missing.get(digest) ?? content.length);
        missing.delete(digest);
      }
      batch = [];
      bytes = 0;
    };
    for await (const item of askBulk(source, "blobs", digests, { patienceMs })) {
      batch.push(item);
      bytes += item.bytes.length;
      this.#onBytes(source, item.bytes.length);
      if (bytes >= storeBatchBytes) await store();
    }
    await store();
  }
}

/** It gave no answer at all, or stopped in the middle of one. */
function isSilence(error: unknown): boolean {
  return !(error instanceof ServerError) && !(error instanceof BlobError);
}
