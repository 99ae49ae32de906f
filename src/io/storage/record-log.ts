import { constants } from "node:fs";
import { join } from "node:path";
import { assert, CodedError, limits } from "../../core/base/index.ts";
import { nodeFiles } from "../files/index.ts";
import {
  type FileSystem,
  type LogRecord,
  type OpenFile,
  type Position,
  type RecordLog,
  StorageError,
} from "../ports/index.ts";
import {
  checked,
  checksum,
  corrupt,
  headBytes,
  RecordReader,
  type Segment,
} from "./record-reader.ts";

const recordBytesMax = 2 ** 31 - 1;
/** Bytes that are read at once where one record is asked for, and where many are that were written one after another. */
const readAlong = { one: 4096, many: 1 << 17 };
const scanChunkBytes = 1 << 20;

function segmentName(number: number): string {
  return `${number.toString(16).padStart(8, "0")}.log`;
}

export interface RecordLogOptions {
  readonly directory: string;
  /**
   * Everything before it was durable once: damage there is bit rot and an error. Damage after it is the torn
   * end of a write that nobody was told about, and is cut off.
   */
  readonly durable: Position;
  /** Segments start a new file after so many bytes. */
  readonly segmentBytes?: number;
  readonly files?: FileSystem;
}

/** Opens a log, creating it if need be. Throws STORAGE_LOG_CORRUPT, naming file and offset. */
export async function openRecordLog(options: RecordLogOptions): Promise<FileRecordLog> {
  const { files = nodeFiles } = options;
  await files.mkdir(options.directory);
  const names = (await files.readdir(options.directory))
    .filter((name) => /^[0-9a-f]{8}\.log$/.test(name))
    .sort();
  const segments: Segment[] = [];
  for (const name of names) {
    const path = join(options.directory, name);
    const number = Number.parseInt(name, 16);
    if (number !== segments.length) {
      throw new StorageError(
        "STORAGE_LOG_CORRUPT",
        `${options.directory} lacks segment ${segmentName(segments.length)}`,
      );
    }
    segments.push({ number, path, handle: await files.open(path, constants.O_RDWR) });
  }
  const log = new FileRecordLog(options, segments);
  await log.recover();
  return log;
}

export class FileRecordLog implements RecordLog {
  readonly #options: RecordLogOptions;
  readonly #files: FileSystem;
  readonly #segments: Segment[];
  #offset = 0;
  #buffer: Uint8Array[] = [];
  #bufferedFrom = 0;
  #buffered = 0;
  #next: Segment | undefined;
  #isToBeSealed = false;
  #syncing: Promise<void> = Promise.resolve();
  #failure: StorageError | undefined;

  constructor(options: RecordLogOptions, segments: Segment[]) {
    this.#options = options;
    this.#files = options.files ?? nodeFiles;
    this.#segments = segments;
  }

  get end(): Position {
    return { segment: Math.max(0, this.#segments.length - 1), offset: this.#offset };
  }

  /** Finds the end of the last segment and cuts off what a crash tore. */
  async recover(): Promise<void> {
    await this.#dropEmptySegments();
    const last = this.#segments.at(-1);
    if (last === undefined) {
      this.#segments.push(await this.#createSegment(0));
      return;
    }
    const { durable } = this.#options;
    const from = durable.segment === last.number ? durable.offset : 0;
    const size = (await last.handle.stat()).size;
    if (size < from) throw corrupt(last.path, size, "the file is shorter than it once was");
    this.#offset = size;
    let end = from;
    try {
      for await (const record of this.scan({ segment: last.number, offset: from })) {
        end = record.position.offset + headBytes + record.bytes.length;
      }
    } catch (error) {
      if (!(error instanceof StorageError) || durable.segment > last.number) throw error;
      await last.handle.truncate(end);
    }
    await rewrite(last, from, end);
    this.#offset = end;
    this.#bufferedFrom = end;
  }

  /** Segments that were made and not begun: the torn end, if any, is in the one before. */
  async #dropEmptySegments(): Promise<void> {
    const { durable } = this.#options;
    for (let last = this.#segments.at(-1); last !== undefined; last = this.#segments.at(-1)) {
      if (last.number <= durable.segment || (await last.handle.stat()).size > 0) break;
      this.#segments.pop();
      await last.handle.close();
      await this.#files.unlink(last.path);
    }
    const isWhole =
      durable.segment < this.#segments.length || (durable.segment === 0 && durable.offset === 0);
    if (isWhole) return;
    throw corrupt(
      this.#options.directory,
      durable.offset,
      `segment ${segmentName(durable.segment)} is missing`,
    );
  }

  append(type: number, bytes: Uint8Array): Position {
    const position = this.end;
    const head = Buffer.alloc(headBytes);
    head.writeUInt32BE(bytes.length, 0);
    head.writeUInt8(type, 4);
    head.writeUInt32BE(checksum(type, bytes), 5);
    this.#buffer.push(head, bytes);
    this.#buffered += headBytes + bytes.length;
    this.#offset += headBytes + bytes.length;
    return position;
  }

  /** One write and one fdatasync for everything appended. A failed sync is never tried again: the pages may be lost. */
  sync(): Promise<void> {
    // One after the other: a rotation must not meet another sync.
    this.#syncing = this.#syncing.catch(() => undefined).then(() => this.#syncNow());
    return this.#syncing;
  }

  async #syncNow(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const last = this.#last();
    const buffer = this.#buffer;
    const [at, length] = [this.#bufferedFrom, this.#buffered];
    this.#buffer = [];
    this.#buffered = 0;
    this.#bufferedFrom = at + length;
    try {
      if (length > 0) await writeAll(last.handle, buffer, { at, length });
      await last.handle.datasync();
      if (this.#isFull) await this.#rotate();
    } catch (error) {
      this.#failure = new StorageError(
        "STORAGE_WRITE_FAILED",
        `cannot write ${last.path}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
      throw this.#failure;
    }
  }

  /** A segment that has so many is not written to any more. */
  get segmentBytes(): number {
    return this.#options.segmentBytes ?? limits.segmentBytesMax;
  }

  get #isFull(): boolean {
    return this.#offset >= this.segmentBytes || (this.#isToBeSealed && this.#offset > 0);
  }

  /** Goes on in a new segment, so that the one that was written to can be given back. */
  seal(): Promise<void> {
    this.#isToBeSealed = true;
    return this.sync();
  }

  read(position: Position): Promise<LogRecord> {
    return new RecordReader(this.#segments, readAlong.one).read(position);
  }

  reader(): RecordReader {
    return new RecordReader(this.#segments, readAlong.many);
  }

  /**
   * The bytes of records that stand close together in one segment, with one read; `undefined` for one that the disk
   * changed, or that has not the length in `sizes`.
   */
  async readRun(
    positions: readonly Position[],
    sizes: readonly number[],
  ): Promise<(Uint8Array | undefined)[]> {
    const [first, last] = [positions[0], positions.at(-1)];
    const segment = first && this.#segments[first.segment];
    if (first === undefined || last === undefined || segment === undefined) return [];
    const end = last.offset + headBytes + (sizes.at(-1) ?? 0);
    const buffer = Buffer.allocUnsafe(end - first.offset);
    await readFully(segment, buffer, first.offset);
    return positions.map(({ offset }, i) => {
      const start = offset - first.offset + headBytes;
      const head = buffer.subarray(start - headBytes, start);
      const bytes = buffer.subarray(start, start + (sizes[i] ?? 0));
      const isWhole =
        head.readUInt32BE(0) === bytes.length &&
        head.readUInt32BE(5) === checksum(head.readUInt8(4), bytes);
      return isWhole ? bytes : undefined;
    });
  }

  async *scan(from: Position): AsyncGenerator<LogRecord> {
    for (const segment of this.#segments.slice(from.segment)) {
      const end =
        segment.number === this.#segments.length - 1
          ? this.#offset
          : (await segment.handle.stat()).size;
      const start = segment.number === from.segment ? from.offset : 0;
      yield* scanSegment(segment, start, end);
    }
  }

  /** Bytes of each segment that is not written to any more. */
  async sealed(): Promise<readonly { readonly segment: number; readonly bytes: number }[]> {
    const sizes = this.#segments.slice(0, -1).map(async ({ number, handle }) => {
      const { size } = await handle.stat();
      return { segment: number, bytes: size };
    });
    return Promise.all(sizes);
  }

  /** Gives back the room of a sealed segment, of which nobody needs anything any more. Its number stays taken. */
  async empty(segment: number): Promise<void> {
    const found = this.#segments[segment];
    if (found === undefined || segment >= this.#segments.length - 1)
      throw corrupt(this.#options.directory, 0, `segment ${segment} is not sealed`);
    await found.handle.truncate(0);
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await segment.handle.close();
    await this.#next?.handle.close();
  }

  #last(): Segment {
    const last = this.#segments.at(-1);
    if (last === undefined) throw corrupt(this.#options.directory, 0, "the log is not open");
    return last;
  }

  /** Goes on in a new file, unless records came in while it was made: they belong to the old one. */
  async #rotate(): Promise<void> {
    this.#next ??= await this.#createSegment(this.#segments.length);
    if (this.#buffered > 0 || this.#next.number !== this.#segments.length) return;
    this.#segments.push(this.#next);
    this.#next = undefined;
    this.#isToBeSealed = false;
    this.#offset = 0;
    this.#bufferedFrom = 0;
  }

  async #createSegment(number: number): Promise<Segment> {
    const path = join(this.#options.directory, segmentName(number));
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC;
    const handle = await this.#files.open(path, flags);
    await this.#files.syncDirectory(this.#options.directory);
    return { number, path, handle };
  }
}

async function writeAll(
  handle: OpenFile,
  buffer: readonly Uint8Array[],
  { at, length }: { readonly at: number; readonly length: number },
): Promise<void> {
  const partsMax = 1000;
  let position = at;
  for (let i = 0; i < buffer.length; i += partsMax) {
    const parts = buffer.slice(i, i + partsMax);
    const expected = parts.reduce((sum, part) => sum + part.length, 0);
    const { bytesWritten } = await handle.writev(parts, position);
    if (bytesWritten !== expected)
      throw new CodedError(
        "ENOSPC",
        `only ${bytesWritten} of ${expected} bytes were written: the disk is full, or a quota is used up`,
      );
    position += bytesWritten;
  }
  assert(position === at + length, "the log buffer stays as it is while it is written");
}

/**
 * Makes bytes durable of which nobody knows whether they are. They were read, perhaps from memory alone: the process before
 * may have ended before it synced them, or after the disk had refused them, and then the system holds them for written.
 */
async function rewrite(segment: Segment, start: number, end: number): Promise<void> {
  for (let at = start; at < end; at += scanChunkBytes) {
    const chunk = Buffer.allocUnsafe(Math.min(scanChunkBytes, end - at));
    await readFully(segment, chunk, at);
    await writeAll(segment.handle, [chunk], { at, length: chunk.length });
  }
  await segment.handle.datasync();
}

async function* scanSegment(
  segment: Segment,
  start: number,
  end: number,
): AsyncGenerator<LogRecord> {
  let chunk: Buffer = Buffer.alloc(0);
  let chunkAt = start;
  const need = async (offset: number, length: number): Promise<Buffer> => {
    if (offset + length > end) throw corrupt(segment.path, offset, "a record is cut short");
    if (offset < chunkAt || offset + length > chunkAt + chunk.length) {
      chunk = Buffer.allocUnsafe(Math.min(Math.max(length, scanChunkBytes), end - offset));
      chunkAt = offset;
      await readFully(segment, chunk, offset);
    }
    return chunk.subarray(offset - chunkAt, offset - chunkAt + length);
  };
  let offset = start;
  while (offset < end) {
    const head = Buffer.from(await need(offset, headBytes));
    const length = head.readUInt32BE(0);
    if (length > recordBytesMax) throw corrupt(segment.path, offset, "an impossible length");
    const bytes = await need(offset + headBytes, length);
    yield checked(segment, { head, bytes: Buffer.from(bytes), offset });
    offset += headBytes + length;
  }
}

async function readFully(segment: Segment, into: Buffer, at: number): Promise<void> {
  const { bytesRead } = await segment.handle.read(into, 0, into.length, at);
  if (bytesRead !== into.length) throw corrupt(segment.path, at, "the file ends too early");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
