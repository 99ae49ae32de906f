import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { type Digest, isDigest, limits } from "../../core/base/index.ts";
import { syncDirectory } from "../files/index.ts";
import { type PartialBlob, StorageError } from "../ports/index.ts";
import { BlobError } from "./blob-error.ts";

const chunk = limits.blobChunkBytes;
/** Written and read at once. */
const stretchBytes = 4 * chunk;
const checksumBytes = 4;
/** What was begun and not touched for so long is given up. */
const partialKeptMs = 7 * 86_400_000;

/** Which blobs are there, as far as anybody is told. */
interface Index {
  readonly isKept: () => boolean;
  /** It is there now. */
  readonly kept: () => void;
}

interface Received {
  readonly handle: FileHandle;
  readonly sums: Sums;
  readonly index: Index;
}

type Owned = Pick<PartialBlob, "digest"> & { readonly by?: string | undefined };

/** Creates what is missing of the directories. */
export async function openLargeBlobs(directory: string): Promise<LargeBlobs> {
  for (const name of ["large", "partial"])
    await mkdir(join(directory, name), { recursive: true, mode: 0o700 });
  return new LargeBlobs(directory);
}

/**
 * Blobs too large to be packed, a file each. Beside it stand the CRC-32 of its chunks, made while it was received, so
 * that every piece is checked before it is handed out: against a disk that changes bits; what forgers do, its SHA-256
 * showed before it was kept.
 */
export class LargeBlobs {
  readonly #directory: string;
  /** Unfinished files that are written to. */
  readonly #writing = new Set<string>();
  readonly #completing = new Set<Digest>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  #path(digest: Digest): string {
    return join(this.#directory, "large", digest);
  }

  #partialPath({ digest, by }: Owned): string {
    return join(this.#directory, "partial", by === undefined ? digest : `${digest}.${by}`);
  }

  async all(): Promise<Digest[]> {
    return (await readdir(join(this.#directory, "large"))).filter(isDigest);
  }

  syncNames(): Promise<void> {
    return syncDirectory(join(this.#directory, "large"));
  }

  async size(digest: Digest): Promise<number> {
    return (await stat(this.#path(digest))).size;
  }

  async partialSize(blob: Owned): Promise<number> {
    try {
      return (await stat(this.#partialPath(blob))).size;
    } catch {
      return 0;
    }
  }

  /** Gives back the room of what was begun and not touched for days; resolves with the bytes. */
  async forgetPartials(nowMs: number): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(join(this.#directory, "partial"))) {
      const path = join(this.#directory, "partial", name);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || this.#writing.has(path)) continue;
      if (!isDigest(name.slice(0, 64)) || found.mtimeMs > nowMs - partialKeptMs) continue;
      await rm(path, { force: true });
      bytes += found.size;
    }
    return bytes;
  }

  /** As `BlobStore.putLarge`. */
  async put(blob: PartialBlob, content: AsyncIterable<Uint8Array>, index: Index): Promise<boolean> {
    const { digest } = blob;
    const path = this.#partialPath(blob);
    if (this.#writing.has(path))
      throw new BlobError("BLOB_MISSING", digest, `blob ${digest} is being written already`);
    this.#writing.add(path);
    try {
      return await this.#receive(blob, content, index);
    } catch (error) {
      if (error instanceof SourceError) throw error.cause;
      if (error instanceof BlobError || !isDiskError(error)) throw error;
      throw new StorageError(
        "STORAGE_WRITE_FAILED",
        `cannot write blob ${digest}: ${String(error)}`,
        { cause: error },
      );
    } finally {
      this.#writing.delete(path);
    }
  }

  async #receive(
    blob: PartialBlob,
    content: AsyncIterable<Uint8Array>,
    index: Index,
  ): Promise<boolean> {
    const { digest, size, offset } = blob;
    const path = this.#partialPath(blob);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const handle = await open(path, flags, 0o600);
    try {
      const present = (await handle.stat()).size;
      if (offset > present) {
        const why = `only ${present} bytes are there, not ${offset}`;
        throw new BlobError("BLOB_MISSING", digest, why);
      }
      const sums = await sumsOfPrefix(handle, offset);
      const at = await writeAll(handle, { blob, sums }, content);
      if (at < size) return false;
      await handle.truncate(size);
      await this.#complete(blob, { handle, sums, index });
      return true;
    } finally {
      await handle.close();
    }
  }

  /** Gives the whole and right file its name: contents, checksums and names are durable before anybody knows of it. */
  async #complete(blob: PartialBlob, received: Received): Promise<void> {
    const { digest, size } = blob;
    const { sums, index } = received;
    if (sums.digest() !== digest) {
      await rm(this.#partialPath(blob), { force: true });
      const why = `the ${size} bytes received are not blob ${digest}`;
      throw new BlobError("BLOB_CORRUPT", digest, why);
    }
    if (this.#completing.has(digest))
      throw new BlobError("BLOB_MISSING", digest, `blob ${digest} is being completed already`);
    this.#completing.add(digest);
    try {
      // Another may have brought it meanwhile. A file that is there and not in the index is damaged, or was never whole.
      if (index.isKept()) await rm(this.#partialPath(blob), { force: true });
      else await this.#keep(blob, received);
      index.kept();
    } finally {
      this.#completing.delete(digest);
    }
  }

  async #keep(blob: PartialBlob, { handle, sums }: Received): Promise<void> {
    const { digest } = blob;
    await handle.sync();
    const outboard = await open(`${this.#path(digest)}.chunks`, "w", 0o600);
    try {
      await outboard.writeFile(sums.outboard());
      await outboard.sync();
    } finally {
      await outboard.close();
    }
    await rename(this.#partialPath(blob), this.#path(digest));
    await this.syncNames();
  }

  /** Forgets a blob and gives back its room. A stream of it that has begun goes on to its end. */
  async remove(digest: Digest): Promise<void> {
    // Somebody brings it anew.
    if (this.#completing.has(digest)) return;
    for (const path of [this.#path(digest), `${this.#path(digest)}.chunks`])
      await rm(path, { force: true });
  }

  /** The checksums of the chunks. Throws as {@link stream}. */
  async sums(
    digest: Digest,
    size: number,
  ): Promise<{ readonly chunkBytes: number; readonly sums: Uint8Array }> {
    const outboard = await readOutboard(digest, `${this.#path(digest)}.chunks`, size);
    return { chunkBytes: chunk, sums: outboard.subarray(0, -checksumBytes) };
  }

  /**
   * Bytes `start` to `end` (exclusive), checked, each piece in the room that `roomFor` gives. Throws {@link BlobError},
   * or what the disk says.
   */
  async *stream(
    { digest, size }: { readonly digest: Digest; readonly size: number },
    {
      start,
      end,
      stretchBytes: asked = 0,
    }: { readonly start: number; readonly end: number; readonly stretchBytes?: number },
    roomFor: (bytes: number) => Buffer = Buffer.allocUnsafe,
  ): AsyncGenerator<Uint8Array> {
    const path = this.#path(digest);
    const stretch = asked === 0 ? stretchBytes : Math.max(chunk, asked - (asked % chunk));
    const checksums = await readOutboard(digest, `${path}.chunks`, size);
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let at = start - (start % chunk); at < end; at += stretch) {
        const wanted = Math.min(stretch, size - at, Math.ceil((end - at) / chunk) * chunk);
        const buffer = roomFor(wanted);
        const { bytesRead } = await handle.read(buffer, 0, wanted, at);
        if (bytesRead !== wanted || !areRight(buffer, checksums, at / chunk))
          throw new BlobError("BLOB_CORRUPT", digest, `${path} is damaged near byte ${at}`);
        yield buffer.subarray(Math.max(0, start - at), Math.min(wanted, end - at));
      }
    } finally {
      await handle.close();
    }
  }
}

/** Rooms in turn: while what is in one is used, the other is filled. */
export function roomsInTurn(count: 1 | 2): (bytes: number) => Buffer {
  const rooms: Buffer[] = [];
  let turn = 0;
  return (bytes) => {
    turn = (turn + 1) % count;
    let room = rooms[turn];
    if (room === undefined || room.length < bytes) {
      room = Buffer.allocUnsafe(bytes);
      rooms[turn] = room;
    }
    return room.subarray(0, bytes);
  };
}

/** What is made of a blob's bytes as they pass: its digest, and the checksums of its chunks. */
class Sums {
  readonly #whole = createHash("sha256");
  readonly #chunks: number[] = [];
  #checksum = 0;
  #filled = 0;

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    for (let at = 0; at < bytes.length; ) {
      const next = Math.min(bytes.length, at + chunk - this.#filled);
      this.#checksum = crc32(bytes.subarray(at, next), this.#checksum);
      this.#filled += next - at;
      at = next;
      if (this.#filled === chunk) this.#close();
    }
  }

  #close(): void {
    this.#chunks.push(this.#checksum);
    this.#checksum = 0;
    this.#filled = 0;
  }

  /** To be asked for once, after the last byte. */
  digest(): string {
    return this.#whole.digest("hex");
  }

  /** The chunks' checksums, then the checksum of these. */
  outboard(): Buffer {
    if (this.#filled > 0) this.#close();
    const bytes = Buffer.alloc(checksumBytes * (this.#chunks.length + 1));
    for (const [i, checksum] of this.#chunks.entries())
      bytes.writeUInt32BE(checksum, checksumBytes * i);
    const end = bytes.length - checksumBytes;
    bytes.writeUInt32BE(crc32(bytes.subarray(0, end)), end);
    return bytes;
  }
}

async function sumsOfPrefix(handle: FileHandle, length: number): Promise<Sums> {
  const sums = new Sums();
  for (let at = 0; at < length; at += stretchBytes) {
    const buffer = Buffer.allocUnsafe(Math.min(stretchBytes, length - at));
    await handle.read(buffer, 0, buffer.length, at);
    sums.update(buffer);
  }
  return sums;
}

/** Writes what comes, a stretch at a time, also when it ends early. Returns where the file ends now. */
async function writeAll(
  handle: FileHandle,
  into: {
    readonly blob: PartialBlob;
    readonly sums: Sums;
  },
  content: AsyncIterable<Uint8Array>,
): Promise<number> {
  const { digest, size, offset } = into.blob;
  let [at, waiting] = [offset, 0];
  let pieces: Uint8Array[] = [];
  const flush = async (): Promise<void> => {
    const [parts, length] = [pieces, waiting];
    [pieces, waiting] = [[], 0];
    if (length === 0) return;
    const { bytesWritten } = await handle.writev(parts, at - length);
    if (bytesWritten === length) return;
    const why = `only ${bytesWritten} of ${length} bytes were written: the disk is full, or a quota is used up`;
    throw Object.assign(new Error(why), { code: "ENOSPC", syscall: "writev" });
  };
  try {
    for await (const piece of apart(content)) {
      if (at + piece.length > size) {
        const why = `more than the ${size} bytes announced`;
        throw new BlobError("BLOB_CORRUPT", digest, why);
      }
      into.sums.update(piece);
      pieces.push(piece);
      [at, waiting] = [at + piece.length, waiting + piece.length];
      if (waiting >= stretchBytes) await flush();
    }
  } finally {
    // What came before the end, or before a cut, is kept for the next attempt.
    await flush();
  }
  return at;
}

/** Whoever sent the bytes failed: no matter of this disk, though sockets and files fail alike. */
class SourceError extends Error {}

async function* apart(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (cause) {
    throw new SourceError("the source failed", { cause });
  }
}

function areRight(bytes: Buffer, checksums: Buffer, first: number): boolean {
  for (let i = 0; i * chunk < bytes.length; i++) {
    const checksum = crc32(bytes.subarray(i * chunk, (i + 1) * chunk));
    if (checksum !== checksums.readUInt32BE(checksumBytes * (first + i))) return false;
  }
  return true;
}

async function readOutboard(digest: Digest, path: string, size: number): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const content = await handle.readFile();
    const end = checksumBytes * Math.ceil(size / chunk);
    const isWhole =
      content.length === end + checksumBytes &&
      content.readUInt32BE(end) === crc32(content.subarray(0, end));
    if (isWhole) return content;
    throw new BlobError("BLOB_CORRUPT", digest, `${path} is damaged`);
  } finally {
    await handle.close();
  }
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && "code" in error && "syscall" in error;
}
