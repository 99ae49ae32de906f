import { mkdir } from "node:fs/promises";
import { Overlay } from "../../core/base/index.ts";
import { type StateStore, type StateValue, StorageError } from "../ports/index.ts";
import { checkedValue, openDatabase, putEntry, type StateDatabase } from "./state-database.ts";
import { writeInThread } from "./state-thread.ts";

type Entries = Overlay<StateValue>;

function bytesOf(value: StateValue): Uint8Array | undefined {
  return typeof value === "function" ? value() : value;
}

function* valuesOf(entries: Entries): Iterable<readonly [string, Uint8Array | undefined]> {
  for (const [key, value] of entries.entries()) yield [key, bytesOf(value)];
}

/** The embedded ordered store (LMDB); a checksum over key and value stands before every value. */
export async function openStateStore(directory: string): Promise<LmdbStateStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    return new LmdbStateStore(directory, openDatabase(directory));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StorageError(
      "STORAGE_STATE_CORRUPT",
      `cannot open the state store ${directory}: ${reason}`,
      { cause: error },
    );
  }
}

/** Entries that this thread writes in one transaction at most (some 60 ms of work); a thread of its own writes more. */
const inlineMax = 16_384;
/** How long entries wait for the next transaction, milliseconds. */
const waitingMs = 1000;

/**
 * Batches are visible at once and reach LMDB together a little later: a transaction costs more than what most
 * batches hold, and durability stands on the log, from which the state is replayed. A batch too large for one turn of
 * the loop is written by a thread of its own; until that is done it is read from memory.
 */
export class LmdbStateStore implements StateStore {
  readonly #directory: string;
  readonly #database: StateDatabase;
  /** For the next transaction. */
  #waiting: Entries = new Overlay();
  /** In the transaction that a thread makes. */
  #written: Entries = new Overlay();
  #thread: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failure: StorageError | undefined;

  constructor(directory: string, database: StateDatabase) {
    this.#directory = directory;
    this.#database = database;
  }

  get(key: string): Uint8Array | undefined {
    const unwritten = this.#waiting.holding(key) ?? this.#written.holding(key);
    if (unwritten !== undefined) return bytesOf(unwritten.get(key));
    const stored = this.#database.get(key);
    return stored === undefined ? undefined : this.#checked(key, stored);
  }

  write(...parts: readonly Iterable<readonly [string, StateValue]>[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (const entries of parts) this.#waiting.add(entries);
    if (this.#waiting.size > inlineMax) return this.#commit();
    this.#timer ??= setTimeout(() => this.#commitLater(), waitingMs);
  }

  /** A failure beside the loop is thrown by the next write. */
  #commitLater(): void {
    try {
      this.#commit();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    }
  }

  /** One transaction for everything that waits; while a thread makes one, the next waits for it. */
  #commit(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#thread !== undefined || this.#waiting.size === 0) return;
    if (this.#waiting.size > inlineMax) this.#commitInThread();
    else this.#commitInline();
  }

  #commitInline(): void {
    try {
      this.#database.transactionSync(() => {
        for (const [key, value] of valuesOf(this.#waiting)) putEntry(this.#database, key, value);
      });
      this.#waiting.clear();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #commitInThread(): void {
    this.#written = this.#waiting;
    this.#waiting = new Overlay();
    this.#thread = writeInThread(this.#directory, valuesOf(this.#written))
      .then(
        () => {
          this.#written = new Overlay();
        },
        (error) => void this.#failed(error),
      )
      .finally(() => {
        this.#thread = undefined;
        if (this.#failure === undefined) this.#commitLater();
      });
  }

  #failed(error: unknown): StorageError {
    const reason = error instanceof Error ? error.message : String(error);
    this.#failure = new StorageError(
      "STORAGE_WRITE_FAILED",
      `cannot write ${this.#directory}: ${reason}`,
      { cause: error },
    );
    return this.#failure;
  }

  *range(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
    readonly limit?: number;
  }): Iterable<readonly [string, Uint8Array]> {
    const { limit = Number.POSITIVE_INFINITY } = range;
    let given = 0;
    for (const [key, value] of this.#merged(range)) {
      if (given >= limit) return;
      const bytes = bytesOf(value);
      if (bytes === undefined) continue;
      given++;
      yield [key, bytes];
    }
  }

  /** What is stored and, before it, what is on its way there: a removed key has no value. */
  *#merged(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
  }): Iterable<readonly [string, StateValue]> {
    const sign = range.reverse === true ? -1 : 1;
    const fresh = this.#unwritten(range).sort(([a], [b]) => (a < b ? -sign : sign));
    let next = 0;
    for (const entry of this.#stored(range)) {
      const [key] = entry;
      for (; next < fresh.length; next++) {
        const own = fresh[next];
        if (own === undefined || own[0] === key || own[0] < key !== sign > 0) break;
        yield own;
      }
      if (fresh[next]?.[0] === key) continue;
      yield entry;
    }
    yield* fresh.slice(next);
  }

  #unwritten({ start, end }: { start: string; end: string }): (readonly [string, StateValue])[] {
    const found = this.#written.between(start, end);
    for (const [key, value] of this.#waiting.between(start, end)) found.set(key, value);
    return [...found];
  }

  *#stored(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
  }): Iterable<readonly [string, Uint8Array]> {
    const { start, end, reverse = false } = range;
    // Downwards the store begins at `end` itself, which is not part of the range.
    for (const { key, value } of this.#database.getRange(
      reverse ? { start: end, reverse } : { start },
    )) {
      if (key >= end && reverse) continue;
      if (key >= end || key < start) return;
      yield [key, this.#checked(key, value)];
    }
  }

  async flushed(): Promise<void> {
    await this.#allCommitted();
    await this.#database.flushed;
  }

  /** Everything that was written so far has reached LMDB, or the failure is thrown. */
  async #allCommitted(): Promise<void> {
    do {
      await this.#thread;
      if (this.#failure !== undefined) throw this.#failure;
      this.#commit();
    } while (this.#thread !== undefined);
  }

  async close(): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#allCommitted();
    } finally {
      clearTimeout(this.#timer);
      await this.#database.close();
    }
  }

  #checked(key: string, stored: Buffer): Uint8Array {
    const value = checkedValue(key, stored);
    if (value !== undefined) return value;
    throw new StorageError(
      "STORAGE_STATE_CORRUPT",
      `the state store ${this.#directory} is damaged at key ${key}; remove the directory to rebuild it from the log`,
    );
  }
}
