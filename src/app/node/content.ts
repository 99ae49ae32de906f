import { Readable } from "node:stream";
import { type Digest, limits, Prng, type Steps } from "../../core/base/index.ts";
import { blobsOf, type ChangeList, readingChanges } from "../../core/mirror/index.ts";
import { type BlobStore, StorageError } from "../../io/ports/index.ts";
import { BlobError, RecentBlobs } from "../../io/storage/index.ts";
import {
  ask,
  askBulk,
  askSums,
  groupsOf,
  overlapOf,
  readAll,
  ServerError,
  stallMs,
  stopWith,
  transferMs,
  twoAtOnce,
} from "../client/index.ts";
import { inTurns } from "../gateway/index.ts";
import type { Log } from "./log.ts";
import { upon } from "./upon.ts";

/** A change list by name. */
export interface ChangesRef {
  readonly digest: Digest;
  readonly bytes: number;
}

/** By the digest of a blob, that of one which is probably much alike and here. */
type Bases = ReadonlyMap<Digest, Digest>;
/** The content of a path before an update, if a file was there. */
export type Before = (tree: string, path: string) => Digest | undefined;

/** Whether what an update put at a path must be here: always, only if some source has it, or not any more. */
export type Need = (tree: string, path: string, digest: Digest) => "yes" | "if-there" | "no";

/** What helps to bring an update's content: who has it surely, what was there before, and what of it is needed. */
export interface Origin {
  readonly hint?: string | undefined;
  readonly before?: Before | undefined;
  readonly need?: Need | undefined;
  /** False once nobody needs it any more: then what is not here yet is not looked for. */
  readonly isWanted?: (() => boolean) | undefined;
}

const always = (): boolean => true;

interface Wanted {
  readonly isWanted?: (() => boolean) | undefined;
  readonly hint?: string | undefined;
  readonly bases?: Bases;
  readonly needOf?: ((digest: Digest) => ReturnType<Need>) | undefined;
}

/** What is fetched, and how long a source may say nothing, milliseconds. */
interface Fetch {
  readonly missing: Map<Digest, number>;
  readonly bases: Bases;
  readonly patienceMs: number;
}

/** A blob that is fetched alone, and one that is probably much alike and here. */
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

/** A source that says nothing for so long is passed over while there are others, milliseconds. */
const shortPatienceMs = 700;
/** And is asked after them for so long. */
const lateMs = 30_000;

/**
 * Rounds without success after which what is only wanted if somebody has it is given up, and of the rest the whole is
 * asked for where only changed parts were.
 */
const fruitlessMax = 3;

/** Change lists kept at hand, bytes; what was read of one takes ten times the room. */
const listsBytesMax = 4 * 1024 * 1024;
const completeKept = 1024;
const noBases: Bases = new Map();
const bulkCount = 512;
const bulkParallel = 3;
const storeBatchBytes = 4 * 1024 * 1024;
const retryMs = { first: 200, longest: 5000 };

/** An update names a blob with a size that it does not have: nobody can ever hold that update. */
export class WrongSizeError extends Error {
  override readonly name = "WrongSizeError";
}

function checkSize(digest: Digest, present: number, said: number): void {
  if (present === said) return;
  throw new WrongSizeError(`blob ${digest} has ${present} bytes; an update says ${said}`);
}

/** Fetches content by hash from whoever has it; nothing is kept that is not what its name says. */
export class ContentFetcher {
  readonly #blobs: BlobStore;
  readonly #sources: () => readonly string[];
  readonly #log: Log;
  readonly #random = new Prng(Math.floor(Math.random() * 2 ** 32));
  readonly #running = new Map<Digest, Promise<Uint8Array | undefined>>();
  /** Large blobs that come from somewhere. */
  readonly #coming = new Map<Digest, Promise<void>>();
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
        await this.#fetchLarge(source, { digest, size, base: bases.get(digest) }, fetch);
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

  /** Once at a time: what two updates name, or one that is published while it is fetched ahead, is not fetched twice. */
  async #fetchLarge(source: string, blob: Large, fetch: Fetch): Promise<void> {
    const { digest } = blob;
    await this.#coming.get(digest)?.catch(() => undefined);
    if (this.#blobs.has(digest) || this.#coming.has(digest)) return;
    const coming = this.#bringLarge(source, blob, fetch).finally(() => this.#coming.delete(digest));
    this.#coming.set(digest, coming);
    await coming;
  }

  async #bringLarge(
    source: string,
    blob: Large,
    { patienceMs }: Pick<Fetch, "patienceMs">,
  ): Promise<void> {
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
   * Only what differs from a blob that is here; false if nothing is alike, or if the source's hints were wrong. A source that
   * has no hints does not have the blob yet: were it asked for the whole, it might have it by then.
   */
  async #fetchChanged(
    source: string,
    { digest, size }: { readonly digest: Digest; readonly size: number },
    { base, patienceMs }: { readonly base: Digest; readonly patienceMs: number },
  ): Promise<boolean> {
    const asked = { patienceMs, signal: this.#stop.signal };
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
      const whole = upon(this.#blobs, { digest: base, prefix, suffix }, middle);
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
    const stop = stopWith(this.#stop.signal);
    const timer = setTimeout(() => stop.abort(new Error("too slow")), transferMs(end - start));
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

/** It gave no answer at all, or stopped in the middle of one. */
function isSilence(error: unknown): boolean {
  return !(error instanceof ServerError) && !(error instanceof BlobError);
}

function giveUp(missing: Map<Digest, number>, isIdle: (digest: Digest) => boolean): void {
  for (const digest of missing.keys()) if (isIdle(digest)) missing.delete(digest);
}

function isWorthIt(need: ReturnType<Need>, fruitless: number): boolean {
  return need === "yes" || (need === "if-there" && fruitless < fruitlessMax);
}

/** What must come of a content that stands at several paths: as much as one of them asks for. */
function needsOf(changes: ChangeList, need: Need): (digest: Digest) => ReturnType<Need> {
  const paths = new Map<Digest, string[]>();
  for (const { path, leaf } of changes.changes)
    if (leaf?.kind === "file") paths.set(leaf.digest, [...(paths.get(leaf.digest) ?? []), path]);
  return (digest) => {
    const needs = (paths.get(digest) ?? []).map((path) => need(changes.tree, path, digest));
    return needs.includes("yes") ? "yes" : needs.includes("if-there") ? "if-there" : "no";
  };
}

/** For each large file of an update, what stood at its path before: most of it may be the same. */
function basesOf(changes: ChangeList, before: Before): Bases {
  const bases = new Map<Digest, Digest>();
  for (const { path, leaf } of changes.changes) {
    if (leaf?.kind !== "file" || leaf.size <= limits.packedBlobBytesMax) continue;
    const old = before(changes.tree, path);
    if (old !== undefined && old !== leaf.digest) bases.set(leaf.digest, old);
  }
  return bases;
}
