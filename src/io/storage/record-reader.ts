import { crc32 } from "node:zlib";
import { type LogRecord, type OpenFile, type Position, StorageError } from "../ports/index.ts";

/** length u32 · type u8 · crc32 u32 (over type and bytes), big-endian. */
export const headBytes = 9;

export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly handle: OpenFile;
}

/** Reads records of a log one by one. What stands behind a record is read along with it, for those that are asked for next. */
export class RecordReader {
  readonly #segments: readonly Segment[];
  readonly #readAlong: number;
  #segment: Segment | undefined;
  #at = 0;
  #window: Buffer = Buffer.alloc(0);

  /** `readAlong`: bytes that one trip to the disk brings at least, if there are so many. */
  constructor(segments: readonly Segment[], readAlong: number) {
    this.#segments = segments;
    this.#readAlong = readAlong;
  }

  /** Throws STORAGE_LOG_CORRUPT, naming file and offset. */
  async read(position: Position): Promise<LogRecord> {
    const segment = this.#segments[position.segment];
    if (segment === undefined)
      throw corrupt(`segment ${position.segment}`, position.offset, "there is no such segment");
    if (this.#has(segment, position.offset, headBytes)) {
      // Read along while it was being written, a record is not whole.
      const record = await this.#record(segment, position.offset).catch(() => undefined);
      if (record !== undefined) return record;
    }
    this.#segment = undefined;
    return this.#record(segment, position.offset);
  }

  async #record(segment: Segment, offset: number): Promise<LogRecord> {
    const head = await this.#bytes(segment, offset, headBytes);
    const bytes = await this.#bytes(segment, offset + headBytes, head.readUInt32BE(0));
    return checked(segment, { head, bytes, offset });
  }

  #has(segment: Segment, at: number, length: number): boolean {
    return (
      segment === this.#segment && at >= this.#at && at + length <= this.#at + this.#window.length
    );
  }

  async #bytes(segment: Segment, at: number, length: number): Promise<Buffer> {
    if (!this.#has(segment, at, length)) await this.#fill(segment, at, length);
    return this.#window.subarray(at - this.#at, at - this.#at + length);
  }

  async #fill(segment: Segment, at: number, length: number): Promise<void> {
    // A length that the disk changed: not so much is allocated.
    if (length > this.#readAlong && length > (await segment.handle.stat()).size - at)
      throw corrupt(segment.path, at, "the record is longer than the file");
    const window = Buffer.allocUnsafe(Math.max(length, this.#readAlong));
    const { bytesRead } = await segment.handle.read(window, 0, window.length, at);
    if (bytesRead < length) throw corrupt(segment.path, at, "the file ends too early");
    this.#segment = segment;
    this.#at = at;
    this.#window = window.subarray(0, bytesRead);
  }
}

export function checksum(type: number, bytes: Uint8Array): number {
  return crc32(bytes, crc32(Uint8Array.of(type)));
}

export function checked(
  segment: Segment,
  {
    head,
    bytes,
    offset,
  }: { readonly head: Buffer; readonly bytes: Buffer; readonly offset: number },
): LogRecord {
  const type = head.readUInt8(4);
  if (head.readUInt32BE(5) !== checksum(type, bytes))
    throw corrupt(segment.path, offset, "the checksum does not hold");
  return { position: { segment: segment.number, offset }, type, bytes };
}

export function corrupt(path: string, offset: number, why: string): StorageError {
  return new StorageError("STORAGE_LOG_CORRUPT", `${path} is damaged at byte ${offset}: ${why}`);
}
