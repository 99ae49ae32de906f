import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { bigEndian, type Digest, isDigest, limits, readBigEndian } from "../../core/base/index.ts";
import { sha256, sha256Bytes } from "../../core/crypto/index.ts";
import { syncDirectory } from "../files/index.ts";
import { type BlobStore, type Position, type StateStore, StorageError } from "../ports/index.ts";
import { type FileRecordLog, openRecordLog } from "./record-log.ts";

const packedType = 1;
/** About 10 MB. */
const placesKept = 65_536;
const chunk = limits.blobChunkBytes;

/** The disk changed a blob, or lost it. The blob is forgotten; a neighbour may have it. */
export class BlobError extends Error {
  override readonly name = "BlobError";
  readonly code: "BLOB_CORRUPT" | "BLOB_MISSING";
  readonly digest: Digest;
  constructor(code: "BLOB_CORRUPT" | "BLOB_MISSING", digest: Digest, message: string) {
    super(message);
    this.code = code;
    this.digest = digest;
  }
}

type Place =
  | { readonly kind: "packed"; readonly position: Position; readonly size: number }
  | { readonly kind: "large"; readonly size: number };

/** What says that the disk changed or lost something; a shortage (EMFILE, ENOMEM) does not. */
const damageCodes: ReadonlySet<string> = new Set(["STORAGE_LOG_CORRUPT", "ENOENT", "EIO"]);

const indexKey = (digest: Digest): string => `b/${digest}`;
const packedUntil = "packed";

function encodePlace(place: Place): Uint8Array {
  if (place.kind === "large") return Buffer.concat([Buffer.from([1]), bigEndian(place.size, 6)]);
  const { segment, offset } = place.position;
  return Buffer.concat([
    Buffer.from([0]),
    bigEndian(place.size, 6),
    bigEndian(segment, 4),
    bigEndian(offset, 6),
  ]);
}

function decodePlace(bytes: Uint8Array): Place {
  const size = readBigEndian(bytes.subarray(1, 7));
  if (bytes[0] === 1) return { kind: "large", size };
  const position = {
    segment: readBigEndian(bytes.subarray(7, 11)),
    offset: readBigEndian(bytes.subarray(11, 17)),
  };
  return { kind: "packed", position, size };
}

/**
 * Blobs by SHA-256. Small ones are packed into the segments of a record log, larger ones are a file each, with
 * the hashes of their chunks beside them so that every piece is checked before it is handed out.
 */
export async function openBlobStore(directory: string, index: StateStore): Promise<FileBlobStore> {
  for (const name of ["packs", "large", "partial"]) {
    await mkdir(join(directory, name), { recursive: true, mode: 0o700 });
  }
  const mark = index.get(packedUntil);
  const durable =
    mark === undefined
      ? { segment: 0, offset: 0 }
      : {
          segment: readBigEndian(mark.subarray(0, 4)),
          offset: readBigEndian(mark.subarray(4, 10)),
        };
  const packs = await openRecordLog({ directory: join(directory, "packs"), durable });
  const store = new FileBlobStore(directory, index, packs);
  await store.reindex(durable);
  return store;
}

export class FileBlobStore implements BlobStore {
  readonly #directory: string;
  readonly #index: StateStore;
  readonly #packs: FileRecordLog;
  readonly #writing = new Set<Digest>();
  /** Places that were written or asked for lately: the index is slower. */
  readonly #places = new Map<Digest, Place>();

  constructor(directory: string, index: StateStore, packs: FileRecordLog) {
    this.#directory = directory;
    this.#index = index;
    this.#packs = packs;
  }

  /** Adds what was packed or completed after the index was last durable. */
  async reindex(from: Position): Promise<void> {
    const entries: [string, Uint8Array][] = [];
    for await (const { position, type, bytes } of this.#packs.scan(from)) {
      if (type !== packedType) continue;
      const place: Place = { kind: "packed", position, size: bytes.length };
      entries.push([indexKey(sha256(bytes)), encodePlace(place)]);
    }
    for (const name of await readdir(join(this.#directory, "large"))) {
      if (!isDigest(name) || this.#index.get(indexKey(name)) !== undefined) continue;
      const { size } = await stat(this.#largePath(name));
      entries.push([indexKey(name), encodePlace({ kind: "large", size })]);
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

  #largePath(digest: Digest): string {
    return join(this.#directory, "large", digest);
  }

  #partialPath(digest: Digest): string {
    return join(this.#directory, "partial", digest);
  }

  async partialSize(digest: Digest): Promise<number> {
    try {
      return (await stat(this.#partialPath(digest))).size;
    } catch {
      return 0;
    }
  }

  async putLarge(
    blob: { readonly digest: Digest; readonly size: number; readonly offset: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    const { digest } = blob;
    if (this.has(digest)) return true;
    if (this.#writing.has(digest))
      throw new BlobError("BLOB_MISSING", digest, `blob ${digest} is being written already`);
    this.#writing.add(digest);
    try {
      return await this.#receive(blob, content);
    } catch (error) {
      if (error instanceof BlobError || !isDiskError(error)) throw error;
      throw new StorageError(
        "STORAGE_WRITE_FAILED",
        `cannot write blob ${digest}: ${String(error)}`,
        { cause: error },
      );
    } finally {
      this.#writing.delete(digest);
    }
  }

  async #receive(
    blob: { readonly digest: Digest; readonly size: number; readonly offset: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    const { digest, size, offset } = blob;
    const path = this.#partialPath(digest);
    const handle = await open(
      path,
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      const present = (await handle.stat()).size;
      if (offset > present)
        throw new BlobError(
          "BLOB_MISSING",
          digest,
          `only ${present} bytes are there, not ${offset}`,
        );
      let at = offset;
      for await (const piece of content) {
        if (at + piece.length > size)
          throw new BlobError("BLOB_CORRUPT", digest, `more than the ${size} bytes announced`);
        await writeFully(handle, piece, at);
        at += piece.length;
      }
      if (at < size) return false;
      await handle.truncate(size);
      await this.#complete(blob, handle);
      return true;
    } finally {
      await handle.close();
    }
  }

  /** Verifies the whole file, then gives it its name: contents, chunk hashes and names are durable before the index knows. */
  async #complete(
    { digest, size }: { readonly digest: Digest; readonly size: number },
    handle: FileHandle,
  ): Promise<void> {
    const whole = createHash("sha256");
    const chunks = await chunkHashes(handle, size, whole);
    if (whole.digest("hex") !== digest) {
      await rm(this.#partialPath(digest), { force: true });
      throw new BlobError(
        "BLOB_CORRUPT",
        digest,
        `the ${size} bytes received are not blob ${digest}`,
      );
    }
    await handle.sync();
    const outboard = await open(`${this.#largePath(digest)}.chunks`, "w", 0o600);
    try {
      await outboard.writeFile(Buffer.concat([chunks, sha256Bytes(chunks)]));
      await outboard.sync();
    } finally {
      await outboard.close();
    }
    await rename(this.#partialPath(digest), this.#largePath(digest));
    await syncDirectory(join(this.#directory, "large"));
    this.#index.write([[indexKey(digest), encodePlace({ kind: "large", size })]]);
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
      if (bytes !== undefined && sha256(bytes) === digest) yield { digest, bytes };
      else
        this.#damaged(
          digest,
          new BlobError("BLOB_CORRUPT", digest, `blob ${digest} is damaged in its pack`),
        );
    }
  }

  async *stream(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array> {
    const place = this.#place(digest);
    if (place === undefined) throw missing(digest);
    try {
      if (place.kind === "packed")
        yield (await this.#readPacked(digest, place.position)).subarray(start, end);
      else yield* this.#streamLarge(digest, place.size, { start, end });
    } catch (error) {
      throw this.#damaged(digest, error);
    }
  }

  async #readPacked(digest: Digest, position: Position): Promise<Uint8Array> {
    const { bytes } = await this.#packs.read(position);
    if (sha256(bytes) !== digest)
      throw new BlobError("BLOB_CORRUPT", digest, `blob ${digest} is damaged in its pack`);
    return bytes;
  }

  async *#streamLarge(
    digest: Digest,
    size: number,
    { start, end }: { readonly start: number; readonly end: number },
  ): AsyncGenerator<Uint8Array> {
    const hashes = await this.#chunkHashes(digest, size);
    const handle = await open(this.#largePath(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let i = Math.floor(start / chunk); i * chunk < end; i++) {
        const buffer = Buffer.allocUnsafe(Math.min(chunk, size - i * chunk));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, i * chunk);
        const expected = hashes.subarray(32 * i, 32 * i + 32);
        if (bytesRead !== buffer.length || Buffer.compare(sha256Bytes(buffer), expected) !== 0) {
          throw new BlobError(
            "BLOB_CORRUPT",
            digest,
            `${this.#largePath(digest)} is damaged near byte ${i * chunk}`,
          );
        }
        yield buffer.subarray(
          Math.max(0, start - i * chunk),
          Math.min(buffer.length, end - i * chunk),
        );
      }
    } finally {
      await handle.close();
    }
  }

  async #chunkHashes(digest: Digest, size: number): Promise<Buffer> {
    const path = `${this.#largePath(digest)}.chunks`;
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const content = await handle.readFile();
      const hashes = content.subarray(0, 32 * Math.ceil(size / chunk));
      if (Buffer.compare(sha256Bytes(hashes), content.subarray(hashes.length)) !== 0) {
        throw new BlobError("BLOB_CORRUPT", digest, `${path} is damaged`);
      }
      return hashes;
    } finally {
      await handle.close();
    }
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

  async close(): Promise<void> {
    await this.#packs.close();
  }
}

interface PackedBlob {
  readonly digest: Digest;
  readonly position: Position;
  readonly size: number;
}

const runBytesMax = 1024 * 1024;

/** Neighbours in the packs are read together. */
function* runsOf(items: readonly PackedBlob[]): Generator<PackedBlob[]> {
  const sorted = items.toSorted(
    (a, b) => a.position.segment - b.position.segment || a.position.offset - b.position.offset,
  );
  let run: PackedBlob[] = [];
  for (const item of sorted) {
    const [first] = run;
    const isNear =
      first !== undefined &&
      item.position.segment === first.position.segment &&
      item.position.offset + item.size - first.position.offset <= runBytesMax;
    if (!isNear && run.length > 0) {
      yield run;
      run = [];
    }
    run.push(item);
  }
  if (run.length > 0) yield run;
}

function missing(digest: Digest): BlobError {
  return new BlobError("BLOB_MISSING", digest, `blob ${digest} is not here`);
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && "code" in error && "syscall" in error;
}

async function writeFully(handle: FileHandle, piece: Uint8Array, at: number): Promise<void> {
  let done = 0;
  while (done < piece.length) {
    const { bytesWritten } = await handle.write(piece, done, piece.length - done, at + done);
    done += bytesWritten;
  }
}

async function chunkHashes(handle: FileHandle, size: number, whole: Hash): Promise<Buffer> {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < size; at += chunk) {
    const buffer = Buffer.allocUnsafe(Math.min(chunk, size - at));
    await handle.read(buffer, 0, buffer.length, at);
    whole.update(buffer);
    hashes.push(sha256Bytes(buffer));
  }
  return Buffer.concat(hashes);
}
