import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { bigEndian, type Digest, readBigEndian } from "../../core/base/index.ts";
import { sha256 } from "../../core/crypto/index.ts";
import type { BlobStore, PartialBlob, Position, StateStore } from "../ports/index.ts";
import { BlobError } from "./blob-error.ts";
import {
  decodePlace,
  encodePlace,
  type PackedBlob,
  type PackedPlace,
  type Place,
  packedType,
  runsOf,
} from "./blob-places.ts";
import { type LargeBlobs, openLargeBlobs, roomsInTurn } from "./large-blobs.ts";
import { RecentBlobs } from "./recent-blobs.ts";
import { type FileRecordLog, openRecordLog } from "./record-log.ts";

/** About 10 MB. */
const placesKept = 65_536;

/** What says that the disk changed or lost something; a shortage (EMFILE, ENOMEM) does not. */
const damageCodes: ReadonlySet<string> = new Set(["STORAGE_LOG_CORRUPT", "ENOENT", "EIO"]);

const indexKey = (digest: Digest): string => `b/${digest}`;
const packedUntil = "packed";
/** Below such a part of a segment it is not worth a new one. */
const sealedParts = 16;

/**
 * Blobs by SHA-256. Small ones are packed into the segments of a record log, larger ones are a file each, with
 * the hashes of their chunks beside them so that every piece is checked before it is handed out.
 */
export async function openBlobStore(
  directory: string,
  index: StateStore,
  { segmentBytes }: { readonly segmentBytes?: number } = {},
): Promise<FileBlobStore> {
  await mkdir(join(directory, "packs"), { recursive: true, mode: 0o700 });
  const mark = index.get(packedUntil);
  const durable =
    mark === undefined
      ? { segment: 0, offset: 0 }
      : {
          segment: readBigEndian(mark.subarray(0, 4)),
          offset: readBigEndian(mark.subarray(4, 10)),
        };
  const packs = await openRecordLog({
    directory: join(directory, "packs"),
    durable,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  const large = await openLargeBlobs(directory);
  const store = new FileBlobStore(index, packs, large);
  await store.reindex(durable);
  await large.forgetPartials(Date.now());
  return store;
}

/** Blobs in files: small ones packed, large ones one each. */
export class FileBlobStore implements BlobStore {
  readonly #index: StateStore;
  readonly #packs: FileRecordLog;
  readonly #large: LargeBlobs;
  /** Places that were written or asked for lately: the index is slower. */
  readonly #places = new Map<Digest, Place>();
  readonly #recent = new RecentBlobs();

  constructor(index: StateStore, packs: FileRecordLog, large: LargeBlobs) {
    this.#index = index;
    this.#packs = packs;
    this.#large = large;
  }

  /** Adds what was packed or completed after the index was last durable. */
  async reindex(from: Position): Promise<void> {
    const entries: [string, Uint8Array][] = [];
    for await (const { position, type, bytes } of this.#packs.scan(from)) {
      if (type !== packedType) continue;
      const place: Place = { kind: "packed", position, size: bytes.length };
      entries.push([indexKey(sha256(bytes)), encodePlace(place)]);
    }
    // Whoever gave a file its name may have ended before the name was durable.
    await this.#large.syncNames();
    for (const digest of await this.#large.all()) {
      if (this.#index.get(indexKey(digest)) !== undefined) continue;
      const size = await this.#large.size(digest);
      entries.push([indexKey(digest), encodePlace({ kind: "large", size })]);
    }
    if (entries.length > 0) this.#index.write([...entries, this.#mark()]);
  }

  #mark(): [string, Uint8Array] {
    const { segment, offset } = this.#packs.end;
    return [packedUntil, Buffer.concat([bigEndian(segment, 4), bigEndian(offset, 6)])];
  }

  #place(digest: Digest): Place | undefined {
    const known = this.#places.get(digest);
    if (known !== undefined) return known;
    const bytes = this.#index.get(indexKey(digest));
    // An empty value marks a blob that was forgotten.
    if (bytes === undefined || bytes.length === 0) return undefined;
    const place = decodePlace(bytes);
    this.#remember(digest, place);
    return place;
  }

  #remember(digest: Digest, place: Place): void {
    if (this.#places.size >= placesKept) this.#places.clear();
    this.#places.set(digest, place);
  }

  has(digest: Digest): boolean {
    return this.#place(digest) !== undefined;
  }

  size(digest: Digest): number | undefined {
    return this.#place(digest)?.size;
  }

  async putSmall(
    blobs: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[],
  ): Promise<void> {
    const places = new Map<Digest, Place>();
    for (const { digest, bytes } of blobs) {
      if (sha256(bytes) !== digest)
        throw new BlobError("BLOB_CORRUPT", digest, `the bytes are not blob ${digest}`);
      if (places.has(digest) || this.has(digest)) continue;
      const position = this.#packs.append(packedType, bytes);
      places.set(digest, { kind: "packed", position, size: bytes.length });
    }
    if (places.size === 0) return;
    const mark = this.#mark();
    await this.#packs.sync();
    const entries: [string, Uint8Array][] = [mark];
    for (const [digest, place] of places) {
      this.#remember(digest, place);
      entries.push([indexKey(digest), encodePlace(place)]);
    }
    this.#index.write(entries);
  }

  partialSize(digest: Digest, by?: string): Promise<number> {
    return this.#large.partialSize({ digest, by });
  }

  async putLarge(blob: PartialBlob, content: AsyncIterable<Uint8Array>): Promise<boolean> {
    const { digest, size } = blob;
    if (this.has(digest)) return true;
    return this.#large.put(blob, content, {
      isKept: () => this.has(digest),
      kept: () => this.#index.write([[indexKey(digest), encodePlace({ kind: "large", size })]]),
    });
  }

  async sums(
    digest: Digest,
  ): Promise<{ readonly chunkBytes: number; readonly sums: Uint8Array } | undefined> {
    const place = this.#place(digest);
    if (place?.kind !== "large") return undefined;
    try {
      return await this.#large.sums(digest, place.size);
    } catch (error) {
      throw this.#damaged(digest, error);
    }
  }

  async read(digest: Digest): Promise<Uint8Array> {
    const size = this.size(digest);
    if (size === undefined) throw missing(digest);
    const pieces: Uint8Array[] = [];
    for await (const piece of this.stream(digest, 0, size)) pieces.push(piece);
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  async *readMany(
    digests: readonly Digest[],
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    const packed: PackedBlob[] = [];
    for (const digest of digests) {
      const place = this.#place(digest);
      if (place?.kind === "packed") packed.push({ digest, ...place });
    }
    for (const run of runsOf(packed)) yield* this.#readRun(run);
  }

  async *#readRun(
    run: readonly PackedBlob[],
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    const positions = run.map(({ position }) => position);
    const sizes = run.map(({ size }) => size);
    const records = await this.#packs.readRun(positions, sizes).catch(() => []);
    for (const [i, { digest }] of run.entries()) {
      const bytes = records[i];
      if (bytes !== undefined) yield { digest, bytes };
      else yield* this.#readAgain(digest);
    }
  }

  /** One that could not be read: it may have been moved meanwhile; else it is damaged, and forgotten. */
  async *#readAgain(
    digest: Digest,
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    const bytes = await this.read(digest).catch(() => undefined);
    if (bytes !== undefined) yield { digest, bytes };
  }

  stream(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array> {
    return this.#stream(digest, { start, end }, Buffer.allocUnsafe);
  }

  lend(digest: Digest, range: Parameters<BlobStore["lend"]>[1]): AsyncGenerator<Uint8Array> {
    return this.#stream(digest, range, roomsInTurn(range.isAhead === false ? 1 : 2));
  }

  async *#stream(
    digest: Digest,
    range: Parameters<BlobStore["lend"]>[1],
    roomFor: (bytes: number) => Buffer,
  ): AsyncGenerator<Uint8Array> {
    const place = this.#place(digest);
    if (place === undefined) throw missing(digest);
    try {
      if (place.kind === "packed")
        yield (await this.#readPacked(digest, place)).subarray(range.start, range.end);
      else yield* this.#large.stream({ digest, size: place.size }, range, roomFor);
    } catch (error) {
      throw this.#damaged(digest, error);
    }
  }

  async #readPacked(digest: Digest, { position, size }: PackedPlace): Promise<Uint8Array> {
    const recent = this.#recent.get(digest);
    if (recent !== undefined) return recent;
    const [bytes] = await this.#packs.readRun([position], [size]).catch((error: unknown) => {
      if (this.#isMoved(digest, position)) return [];
      throw error;
    });
    if (bytes !== undefined && sha256(bytes) === digest) {
      this.#recent.keep(digest, bytes);
      return bytes;
    }
    const now = this.#place(digest);
    if (now?.kind === "packed" && this.#isMoved(digest, position))
      return this.#readPacked(digest, now);
    throw new BlobError("BLOB_CORRUPT", digest, `blob ${digest} is damaged in its pack`);
  }

  /** True if the blob stands elsewhere now: {@link compact} was faster than the disk. */
  #isMoved(digest: Digest, from: Position): boolean {
    const now = this.#place(digest);
    if (now?.kind !== "packed") return false;
    return now.position.segment !== from.segment || now.position.offset !== from.offset;
  }

  /** A blob that cannot be read as it was written is forgotten, so that it will be fetched again. */
  #damaged(digest: Digest, error: unknown): unknown {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (!(error instanceof BlobError) && !damageCodes.has(String(code))) return error;
    this.#places.delete(digest);
    this.#index.write([[indexKey(digest), new Uint8Array(0)]]);
    if (error instanceof BlobError) return error;
    return new BlobError("BLOB_CORRUPT", digest, `blob ${digest}: ${String(error)}`);
  }

  async *all(): AsyncGenerator<{ readonly digest: Digest; readonly size: number }> {
    for await (const [digest, { size }] of this.#entries()) yield { digest, size };
  }

  /** A page at a time: others have their turn in between, and no view of the index is held open. */
  async *#entries(): AsyncGenerator<readonly [Digest, Place]> {
    for (let start = "b/"; ; ) {
      const page = [...this.#index.range({ start, end: "b0", limit: pageEntries })];
      for (const [key, bytes] of page)
        if (bytes.length > 0) yield [key.slice(2) as Digest, decodePlace(bytes)];
      const last = page.at(-1);
      if (last === undefined || page.length < pageEntries) return;
      start = `${last[0]}\0`;
      await setImmediate();
    }
  }

  async remove(digests: readonly Digest[]): Promise<void> {
    const large = digests.filter((digest) => this.#place(digest)?.kind === "large");
    for (const digest of digests) {
      this.#places.delete(digest);
      this.#recent.forget(digest);
    }
    this.#index.write(digests.map((digest) => [indexKey(digest), undefined]));
    if (large.length === 0) return;
    // A file without an entry is found again at the next start; an entry without its file would be damage.
    await this.#index.flushed();
    for (const digest of large) if (!this.has(digest)) await this.#large.remove(digest);
  }

  async compact(): Promise<number> {
    let freed = await this.#large.forgetPartials(Date.now());
    await this.#sealSparse();
    for (const { segment, bytes, live } of await this.#sparse()) {
      await this.#move(live);
      await this.#index.flushed();
      const mark = this.#index.get(packedUntil);
      const isBehind = mark !== undefined && readBigEndian(mark.subarray(0, 4)) > segment;
      // One that is damaged stays where it is until somebody asks for it.
      if (!isBehind || live.some((digest) => this.#segmentOf(digest) === segment)) continue;
      await this.#packs.empty(segment);
      freed += bytes - live.reduce((sum, digest) => sum + (this.size(digest) ?? 0), 0);
    }
    return freed;
  }

  #segmentOf(digest: Digest): number | undefined {
    const place = this.#place(digest);
    return place?.kind === "packed" ? place.position.segment : undefined;
  }

  /** The segment that is written to is given back too, once there is much in it that nobody asks for. */
  async #sealSparse(): Promise<void> {
    const { segment, offset } = this.#packs.end;
    if (offset < this.#packs.segmentBytes / sealedParts) return;
    let live = 0;
    for await (const [, place] of this.#entries())
      if (place.kind === "packed" && place.position.segment === segment) live += place.size;
    if (live >= offset / 2) return;
    await this.#packs.seal();
    const mark = this.#mark();
    await this.#packs.sync();
    this.#index.write([mark]);
  }

  /** Sealed segments of which less than half is still asked for, with what is. */
  async #sparse(): Promise<
    readonly { readonly segment: number; readonly bytes: number; readonly live: Digest[] }[]
  > {
    const sealed = await this.#packs.sealed();
    const kept = sealed.map(({ segment, bytes }) => ({ segment, bytes, live: [] as Digest[] }));
    const liveBytes = sealed.map(() => 0);
    for await (const [digest, place] of this.#entries()) {
      if (place.kind !== "packed") continue;
      const { segment } = place.position;
      kept[segment]?.live.push(digest);
      liveBytes[segment] = (liveBytes[segment] ?? 0) + place.size;
    }
    return kept.filter(({ segment, bytes }) => bytes > 0 && (liveBytes[segment] ?? 0) < bytes / 2);
  }

  /** Writes small blobs anew at the end of the packs. */
  async #move(digests: readonly Digest[]): Promise<void> {
    for (let i = 0; i < digests.length; i += movedAtOnce) {
      const places: [Digest, Place][] = [];
      for await (const { digest, bytes } of this.readMany(digests.slice(i, i + movedAtOnce))) {
        // What is moved gets a new checksum: it must be what it is called.
        if (sha256(bytes) !== digest) continue;
        const position = this.#packs.append(packedType, bytes);
        places.push([digest, { kind: "packed", position, size: bytes.length }]);
      }
      const mark = this.#mark();
      await this.#packs.sync();
      const entries: [string, Uint8Array][] = [mark];
      for (const [digest, place] of places) {
        // It may have been removed while the disk was busy.
        if (!this.has(digest)) continue;
        this.#remember(digest, place);
        entries.push([indexKey(digest), encodePlace(place)]);
      }
      this.#index.write(entries);
    }
  }

  async close(): Promise<void> {
    await this.#packs.close();
  }
}

/** Blobs of up to 256 KiB each. */
const movedAtOnce = 64;
const pageEntries = 2000;

function missing(digest: Digest): BlobError {
  return new BlobError("BLOB_MISSING", digest, `blob ${digest} is not here`);
}
