import type { Digest } from "../../core/base/index.ts";

/** An open file; positions and lengths in bytes. */
export interface OpenFile {
  read(
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  writev(
    parts: readonly Uint8Array[],
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(length: number): Promise<void>;
  stat(): Promise<{ readonly size: number }>;
  /** What was written before is on the disk when it resolves; after a rejection nobody knows. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** What log and guard ask of a file system; flags are those of `node:fs`. */
export interface FileSystem {
  open(path: string, flags: number): Promise<OpenFile>;
  mkdir(path: string): Promise<void>;
  readdir(path: string): Promise<readonly string[]>;
  unlink(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
}

/** Where a record stands in a {@link RecordLog}. */
export interface Position {
  readonly segment: number;
  /** Bytes from the start of the segment. */
  readonly offset: number;
}

/** A record as the log has it: where it stands, its type (1…255), its bytes. */
export interface LogRecord {
  readonly position: Position;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** An append-only, checksummed log. Appended records are durable once a later `sync` has resolved. */
export interface RecordLog {
  /** Where the next record will stand. */
  readonly end: Position;
  append(type: number, bytes: Uint8Array): Position;
  /** Makes everything appended so far durable. Rejects with STORAGE_* once, and then always. */
  sync(): Promise<void>;
  /** The record at a position; STORAGE_LOG_CORRUPT if its checksum does not hold. */
  read(position: Position): Promise<LogRecord>;
  /** The same for many records that were written one after another, with fewer trips to the disk. */
  reader(): Pick<RecordLog, "read">;
  /** Records from a position on, in order. */
  scan(from: Position): AsyncGenerator<LogRecord>;
  close(): Promise<void>;
}

/** What is kept under a key: bytes, what makes them once they are needed, or nothing (which removes the key). */
export type StateValue = Uint8Array | (() => Uint8Array) | undefined;

/** An ordered map from text to bytes with atomic batches; every value is checked when it is read. */
export interface StateStore {
  get(key: string): Uint8Array | undefined;
  /**
   * All parts or nothing; visible at once, durable soon (the log is what durability stands on). A value of `undefined`
   * removes the key; a function is called when the value is needed, if nothing else was written there before. Later parts
   * count before earlier ones. A part that is a map may be kept as it is: it must not change any more.
   */
  write(...parts: readonly Iterable<readonly [string, StateValue]>[]): void;
  /** Entries with `start` ≤ key < `end` in key order, or downwards. */
  range(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
    readonly limit?: number;
  }): Iterable<readonly [string, Uint8Array]>;
  /** Resolves when everything written so far is durable. */
  flushed(): Promise<void>;
  close(): Promise<void>;
}

/** A large blob that is being received. */
export interface PartialBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Where what comes belongs, in bytes. */
  readonly offset: number;
  /**
   * For whose sake it comes: letters and digits, none for this host's own. What one sends and leaves unfinished is in
   * nobody else's way.
   */
  readonly by?: string;
}

/** Content by SHA-256; everything is verified before it is kept and again before it is handed out. */
export interface BlobStore {
  has(digest: Digest): boolean;
  /** Size in bytes, or `undefined` if the blob is not here. */
  size(digest: Digest): number | undefined;
  /** Keeps small blobs; resolves when they are durable. A blob that is not its digest is refused. */
  putSmall(
    blobs: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[],
  ): Promise<void>;
  /** Bytes of a large blob that an interrupted {@link putLarge} for the same cause left behind. */
  partialSize(digest: Digest, by?: string): Promise<number>;
  /**
   * Appends `content` to what is there of a large blob from `offset` on; when all `size` bytes are there, they are
   * verified, made durable and kept. Returns whether the blob is complete now.
   */
  putLarge(blob: PartialBlob, content: AsyncIterable<Uint8Array>): Promise<boolean>;
  /** The whole of a blob of moderate size; BLOB_CORRUPT if the disk changed it, BLOB_MISSING. */
  read(digest: Digest): Promise<Uint8Array>;
  /**
   * Those of many small blobs that are here, in the order in which the disk gives them fastest: as they were written, by
   * their checksums. Their hashes are left to those who get them, who trust nobody anyway.
   */
  readMany(
    digests: readonly Digest[],
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }>;
  /** CRC-32 of the chunks of a large blob, 4 bytes big-endian each; `undefined` for others. */
  sums(
    digest: Digest,
  ): Promise<{ readonly chunkBytes: number; readonly sums: Uint8Array } | undefined>;
  /** Bytes `start` to `end` (exclusive), in verified pieces. */
  stream(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array>;
  /**
   * As {@link stream}, but a piece may be used only until the one after the next is asked for: its room is used again.
   * New memory for every piece costs more than the reading, and sets off collections of all garbage.
   */
  lend(
    digest: Digest,
    range: {
      readonly start: number;
      readonly end: number;
      /** Bytes that are read at once; 0: as many as is fastest. */
      readonly stretchBytes?: number;
      /** False: a piece may be used only until the next is asked for, and half the memory is enough. */
      readonly isAhead?: boolean;
    },
  ): AsyncGenerator<Uint8Array>;
  /** All that is here. */
  all(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
  /** Forgets blobs, at once for everybody who asks; the room of large ones is given back. */
  remove(digests: readonly Digest[]): Promise<void>;
  /** Gives back the room that small ones had, and that of large ones that were begun and not touched for days. Returns bytes. */
  compact(): Promise<number>;
  close(): Promise<void>;
}

/** An operator's problem with the disk: stop signing for good. `code` is stable (docs/reference/errors.md). */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
