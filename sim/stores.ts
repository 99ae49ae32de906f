import { compareText, type Digest, type Prng } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import type { BlobStore, StateStore, StateValue } from "../src/io/ports/index.ts";

type Batch = readonly (readonly [string, Uint8Array | undefined])[];

function put(map: Map<string, Uint8Array>, key: string, value: Uint8Array | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** A state store with write-behind: batches are visible at once; a crash loses some of the youngest. */
export class SimStateStore implements StateStore {
  #entries = new Map<string, Uint8Array>();
  #durable = new Map<string, Uint8Array>();
  #pending: Batch[] = [];
  #sorted: string[] | undefined;
  readonly #later: (work: () => void) => void;

  /** `later` runs the write-behind some time after a write. */
  constructor(later: (work: () => void) => void) {
    this.#later = later;
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key);
  }

  write(...parts: readonly Iterable<readonly [string, StateValue]>[]): void {
    const batch: Batch = parts
      .flatMap((entries) => [...entries])
      .map(([key, value]) => [key, typeof value === "function" ? value() : value]);
    for (const [key, value] of batch) {
      if (this.#entries.has(key) !== (value !== undefined)) this.#sorted = undefined;
      put(this.#entries, key, value);
    }
    this.#pending.push(batch);
    if (this.#pending.length === 1) this.#later(() => this.#flush(this.#pending.length));
  }

  #flush(batches: number): void {
    for (const batch of this.#pending.splice(0, batches))
      for (const [key, value] of batch) put(this.#durable, key, value);
  }

  *range(range: {
    readonly start: string;
    readonly end: string;
    readonly reverse?: boolean;
    readonly limit?: number;
  }): Iterable<readonly [string, Uint8Array]> {
    this.#sorted ??= [...this.#entries.keys()].sort(compareText);
    const keys = this.#sorted.slice(
      lowerBound(this.#sorted, range.start),
      lowerBound(this.#sorted, range.end),
    );
    if (range.reverse === true) keys.reverse();
    for (const key of keys.slice(0, range.limit ?? keys.length)) {
      const value = this.#entries.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  async flushed(): Promise<void> {
    this.#flush(this.#pending.length);
  }

  async close(): Promise<void> {
    await this.flushed();
  }

  /** Everything that every host must have alike at the same place of the order, as one text. */
  image(): string {
    const isShared = (key: string): boolean => !/^(meta\/|[bcrv]\/)/.test(key);
    const keys = [...this.#entries.keys()].filter(isShared).sort(compareText);
    return keys
      .map((key) => `${key}=${Buffer.from(this.#entries.get(key) ?? []).toString("hex")}`)
      .join("\n");
  }

  /** A transaction is there or not: a prefix of the batches survives. */
  powerCut(random: Prng): void {
    this.#flush(random.below(this.#pending.length + 1));
    this.#pending = [];
    this.#entries = new Map(this.#durable);
    this.#sorted = undefined;
  }

  clear(): void {
    this.#entries.clear();
    this.#durable.clear();
    this.#pending = [];
    this.#sorted = undefined;
  }

  backup(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.#durable);
  }

  restore(backup: ReadonlyMap<string, Uint8Array>): void {
    this.clear();
    for (const [key, value] of backup) {
      this.#entries.set(key, value);
      this.#durable.set(key, value);
    }
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Content in memory; durable when `putSmall` resolves, and then for good. */
export class SimBlobStore implements Pick<BlobStore, "has" | "size" | "putSmall" | "read"> {
  readonly #blobs = new Map<Digest, Uint8Array>();

  has(digest: Digest): boolean {
    return this.#blobs.has(digest);
  }

  size(digest: Digest): number | undefined {
    return this.#blobs.get(digest)?.length;
  }

  async putSmall(
    blobs: readonly { readonly digest: Digest; readonly bytes: Uint8Array }[],
  ): Promise<void> {
    for (const { digest, bytes } of blobs) {
      if (sha256(bytes) !== digest) throw new Error(`the bytes are not blob ${digest}`);
      this.#blobs.set(digest, bytes);
    }
  }

  async read(digest: Digest): Promise<Uint8Array> {
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) throw new Error(`blob ${digest} is not here`);
    return bytes;
  }

  clear(): void {
    this.#blobs.clear();
  }

  /** Everything that another store has. */
  takeOver(other: SimBlobStore): void {
    for (const [digest, bytes] of other.#blobs) this.#blobs.set(digest, bytes);
  }
}
