import { mkdir } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { open, type RootDatabase } from "lmdb";
import { type StateStore, type StateValue, StorageError } from "../ports/index.ts";

const checkBytes = 4;

/** CRC-32 over key and value: against a disk that changes bits, not against forgers. */
function check(key: string, value: Uint8Array): number {
  return crc32(value, crc32(key));
}

function checkedValue(key: string, value: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(checkBytes + value.length);
  bytes.writeUInt32BE(check(key, value), 0);
  bytes.set(value, checkBytes);
  return bytes;
}

function bytesOf(value: StateValue): Uint8Array | undefined {
  return typeof value === "function" ? value() : value;
}

/** The embedded ordered store (LMDB); a checksum over key and value stands before every value. */
export async function openStateStore(directory: string): Promise<LmdbStateStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    const database = open<Buffer, string>({
      path: directory,
      encoding: "binary",
      compression: false,
      noSubdir: false,
    });
    return new LmdbStateStore(directory, database);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StorageError(
      "STORAGE_STATE_CORRUPT",
      `cannot open the state store ${directory}: ${reason}`,
      { cause: error },
    );
  }
}

/** Entries that wait for the next transaction at most (some 40 ms of work), and how long they wait, milliseconds. */
const pendingMax = 16_384;
const pendingMs = 1000;

/**
 * Batches are visible at once and reach LMDB together a little later: a transaction costs more than what most
 * batches hold, and durability stands on the log, from which the state is replayed.
 */
export class LmdbStateStore implements StateStore {
  readonly #directory: string;
  readonly #database: RootDatabase<Buffer, string>;
  readonly #pending = new Map<string, StateValue>();
  #timer: NodeJS.Timeout | undefined;
  #failure: StorageError | undefined;

  constructor(directory: string, database: RootDatabase<Buffer, string>) {
    this.#directory = directory;
    this.#database = database;
  }

  get(key: string): Uint8Array | undefined {
    if (this.#pending.has(key)) return bytesOf(this.#pending.get(key));
    const stored = this.#database.get(key);
    return stored === undefined ? undefined : this.#checked(key, stored);
  }

  write(entries: Iterable<readonly [string, StateValue]>): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (const [key, value] of entries) this.#pending.set(key, value);
    if (this.#pending.size > pendingMax) return this.#commit();
    this.#timer ??= setTimeout(() => this.#commitLater(), pendingMs);
  }

  /** A failure beside the loop is thrown by the next write. */
  #commitLater(): void {
    try {
      this.#commit();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    }
  }

  /** One transaction for everything that waits. */
  #commit(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.size === 0) return;
    try {
      this.#database.transactionSync(() => {
        for (const [key, pending] of this.#pending) {
          const value = bytesOf(pending);
          if (value === undefined) void this.#database.remove(key);
          else void this.#database.put(key, checkedValue(key, value));
        }
      });
      this.#pending.clear();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failure = new StorageError(
        "STORAGE_WRITE_FAILED",
        `cannot write ${this.#directory}: ${reason}`,
        {
          cause: error,
        },
      );
      throw this.#failure;
    }
  }

  *range(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
    readonly limit?: number;
  }): Iterable<readonly [string, Uint8Array]> {
    this.#commit();
    const { start, end, reverse = false } = range;
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    // Downwards the store begins at `end` itself, which is not part of the range.
    for (const { key, value } of this.#database.getRange(
      reverse ? { start: end, reverse } : { start },
    )) {
      if (key >= end && reverse) continue;
      if (key >= end || key < start || left-- <= 0) return;
      yield [key, this.#checked(key, value)];
    }
  }

  async flushed(): Promise<void> {
    this.#commit();
    await this.#database.flushed;
  }

  async close(): Promise<void> {
    if (this.#failure === undefined) this.#commit();
    clearTimeout(this.#timer);
    await this.#database.close();
  }

  #checked(key: string, stored: Buffer): Uint8Array {
    const value = stored.subarray(checkBytes);
    if (stored.length >= checkBytes && stored.readUInt32BE(0) === check(key, value)) return value;
    throw new StorageError(
      "STORAGE_STATE_CORRUPT",
      `the state store ${this.#directory} is damaged at key ${key}; remove the directory to rebuild it from the log`,
    );
  }
}
