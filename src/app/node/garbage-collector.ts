import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "../../core/base/index.ts";
import { CodedError } from "../../core/base/index.ts";
import {
  blobsOf,
  type ChangeList,
  decodeLeaf,
  readingChanges,
  readUpdate,
} from "../../core/mirror/index.ts";
import { heightAt, snapshotsTree } from "../gateway/index.ts";
import { inTurns } from "../pace/index.ts";
import { type Heights, isKept, type Kept, keptHeights, walkTrees } from "../retention/index.ts";
import type { Parts } from "./parts.ts";

/** What a collection did, or would do. */
export interface CollectionReport {
  readonly heights: { readonly newest: number; readonly from: number; readonly more: number[] };
  readonly blobs: number;
  readonly removed: number;
  readonly removedBytes: number;
  /** Bytes of packs given back to the disk, besides those of large blobs. */
  readonly freedBytes: number;
  /** Content of kept heights that was not here, and how much of it neighbours had. */
  readonly missing: number;
  readonly fetched: number;
  readonly seconds: number;
}

/** Steps of a walk between two breaths. */
const stepsAtOnce = 2000;
const removedAtOnce = 2000;

/** Content that publishers bring or brought, and that no height names yet. */
export interface Reserved {
  /** True for content of an update that was begun here and is not settled. */
  reserves(digest: Digest): boolean;
}

/**
 * Removes content that no kept height names, while the host goes on. What is kept: the rule of the settings, every
 * height that has a name, whatever is not complete yet, all change lists (others execute the order from them), and
 * what updates bring that are not settled.
 */
export class GarbageCollector {
  readonly #parts: Parts;
  readonly #reserved: Reserved | undefined;
  #running: Promise<CollectionReport> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: Parts, reserved: Reserved | undefined) {
    this.#parts = parts;
    this.#reserved = reserved;
  }

  start(): void {
    const { retain } = this.#parts.config;
    if (retain.heights === "all") return;
    this.#timer = setInterval(() => void this.#runQuietly(), retain.every_s * 1000);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #runQuietly(): Promise<void> {
    await this.run().catch((error: unknown) =>
      this.#parts.log.error({ reason: String(error) }, "nothing was collected"),
    );
  }

  /** One at a time; whoever asks meanwhile gets the same. Rejects where it cannot tell what is needed. */
  run(options: { readonly isDry?: boolean } = {}): Promise<CollectionReport> {
    this.#running ??= this.#collect(options.isDry === true).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  get #heights(): Heights {
    const { core } = this.#parts;
    const newest = core.servedHeight;
    const timeOf = (height: number): number => core.archive.height(height)?.tsMs ?? 0;
    return { newest, nowMs: Date.now(), at: (tsMs) => heightAt(tsMs, newest, timeOf) };
  }

  async #collect(isDry: boolean): Promise<CollectionReport> {
    const { config, core, store, metrics, log } = this.#parts;
    const startedAt = performance.now();
    const heights = this.#heights;
    const kept = keptHeights(config.retain, heights, await this.#named(heights.newest));
    if (!isDry) core.retainer.keep(kept);
    const live = new Live(this.#parts, kept);
    await live.walk();
    // A height that got its name late may have content that is not here any more.
    const missing = live.missing.size;
    const lacking = isDry ? missing : await core.content.ifThere(live.missing);
    const { blobs, removed, removedBytes } = await this.#remove(live, isDry);
    const freedBytes = isDry ? 0 : await store.blobs.compact();
    const seconds = (performance.now() - startedAt) / 1000;
    if (!isDry) {
      metrics.gcDeleted.inc(removed);
      metrics.gcSeconds.set(seconds);
    }
    const report = {
      heights: {
        newest: heights.newest,
        from: kept.from,
        more: [...kept.more].sort((a, b) => a - b),
      },
      blobs,
      removed,
      removedBytes,
      freedBytes,
      missing,
      fetched: missing - lacking,
      seconds,
    };
    log.info({ ...report, isDry }, "collected what no kept height names");
    return report;
  }

  /** Heights that have a name now. Rejects if a name cannot be read: what it stands for must not be removed. */
  async #named(newest: number): Promise<readonly number[]> {
    const { core, store } = this.#parts;
    const record = core.archive.height(newest);
    const tree = record && core.archive.entry(record, snapshotsTree, []);
    if (tree?.kind !== "directory") return [];
    const named: number[] = [];
    for (const { entry } of core.archive.directories.list(tree.root)) {
      if (entry.kind !== "file") continue;
      const text = Buffer.from(await store.blobs.read(entry.digest))
        .toString()
        .trim();
      if (/^\d{1,15}$/.test(text)) named.push(Number(text));
    }
    return named;
  }

  async #remove(
    live: Live,
    isDry: boolean,
  ): Promise<{ readonly blobs: number; readonly removed: number; readonly removedBytes: number }> {
    const { blobs } = this.#parts.store;
    const done = { blobs: 0, removed: 0, removedBytes: 0 };
    let batch: { readonly digest: Digest; readonly size: number }[] = [];
    const flush = async (): Promise<void> => {
      // Nothing else runs between the last look and the removal.
      while (!live.isCurrent) await live.walk();
      const gone = batch.filter(({ digest }) => !live.has(digest) && !this.#isReserved(digest));
      done.removed += gone.length;
      done.removedBytes += gone.reduce((sum, { size }) => sum + size, 0);
      batch = [];
      if (!isDry && gone.length > 0) await blobs.remove(gone.map(({ digest }) => digest));
    };
    for await (const blob of blobs.all()) {
      done.blobs++;
      if (live.has(blob.digest)) continue;
      batch.push(blob);
      if (batch.length >= removedAtOnce) await flush();
    }
    await flush();
    return done;
  }

  #isReserved(digest: Digest): boolean {
    return this.#reserved?.reserves(digest) === true;
  }
}

/** What was executed and is not written yet is looked for again after so long. */
const notWrittenMs = 5;

/** So many bits of a digest tell blobs apart; should two be alike, one is kept for nothing. */
const prefixDigits = 13;

/** What is needed; it grows while the host goes on. */
class Live {
  readonly #parts: Parts;
  readonly #kept: Kept;
  readonly #seen = new Set<Digest>();
  readonly #prefixes = new Set<number>();
  /** Content of kept heights that is not here, with its size. */
  readonly missing = new Map<Digest, number>();
  /** Updates that wait in the order, with their change list once it was here and read. */
  readonly #pending = new Map<Digest, Digest | "read">();
  #walked = 0;
  #leaves = 0;

  constructor(parts: Parts, kept: Kept) {
    this.#parts = parts;
    this.#kept = kept;
  }

  has(digest: Digest): boolean {
    return this.#prefixes.has(Number.parseInt(digest.slice(0, prefixDigits), 16));
  }

  #add(digest: Digest): void {
    this.#prefixes.add(Number.parseInt(digest.slice(0, prefixDigits), 16));
  }

  /** True if nothing was accepted or executed that this does not know; what is executed is written a little later. */
  get isCurrent(): boolean {
    const { core, store } = this.#parts;
    const { log, pending, height } = core.role.state;
    if (this.#leaves < log.size || this.#walked < height) return false;
    for (const id of pending.keys()) {
      const list = this.#pending.get(id);
      if (list === undefined || (list !== "read" && store.blobs.has(list))) return false;
    }
    return true;
  }

  /** Goes on to the newest height. Rejects if a directory cannot be read. */
  async walk(): Promise<void> {
    await this.#walkPending();
    const { archive } = this.#parts.core;
    for (let next = archive.height(this.#walked + 1); next !== undefined; ) {
      // Whatever is not complete yet is needed too, kept or not.
      const isNeeded =
        isKept(this.#kept, next.height) || next.height > this.#parts.core.completeHeight;
      if (isNeeded) await this.#walkTrees(next.trees);
      this.#walked = next.height;
      next = archive.height(this.#walked + 1);
    }
    await this.#walkLog();
  }

  async #walkTrees(trees: Digest | undefined): Promise<void> {
    const { archive } = this.#parts.core;
    const { blobs } = this.#parts.store;
    let steps = 0;
    for (const met of walkTrees(archive.nodes, trees, this.#seen)) {
      if (met.kind === "damaged")
        throw new CodedError(
          "STORAGE_STATE_CORRUPT",
          `the directory ${met.root} cannot be read; look with: smalti fsck --repair`,
        );
      if (met.kind === "file") {
        this.#add(met.digest);
        if (!blobs.has(met.digest)) this.missing.set(met.digest, met.size);
      }
      if (++steps % stepsAtOnce === 0) await setImmediate();
    }
  }

  /** Change lists of all updates that were ever settled. */
  async #walkLog(): Promise<void> {
    const { archive, role } = this.#parts.core;
    for (; this.#leaves < role.state.log.size; this.#leaves++) {
      const stored = archive.leaf(this.#leaves);
      if (stored === undefined) return void (await sleep(notWrittenMs));
      const leaf = decodeLeaf(stored);
      if (leaf.ok && leaf.value.kind === "update") this.#add(leaf.value.changes);
      if (this.#leaves % stepsAtOnce === stepsAtOnce - 1) await setImmediate();
    }
  }

  /** What updates bring that wait in the order. */
  async #walkPending(): Promise<void> {
    for (const { id, wire } of [...this.#parts.core.role.state.pending.values()])
      if (this.#pending.get(id) !== "read") await this.#walkUpdate(id, wire);
  }

  async #walkUpdate(id: Digest, wire: Uint8Array): Promise<void> {
    const { store, verifier } = this.#parts;
    const update = readUpdate(wire, undefined, verifier);
    if (!update.ok) return;
    const { digest } = update.value.record.changes;
    this.#add(digest);
    const list = store.blobs.has(digest) ? await readList(store.blobs, digest) : undefined;
    for (const blob of list === undefined ? [] : blobsOf(list).keys()) this.#add(blob);
    this.#pending.set(id, list === undefined ? digest : "read");
  }
}

async function readList(
  blobs: Parts["store"]["blobs"],
  digest: Digest,
): Promise<ChangeList | undefined> {
  const bytes = await blobs.read(digest).catch(() => undefined);
  const changes = bytes === undefined ? undefined : await inTurns(readingChanges(bytes));
  // One that is malformed names nothing.
  return changes?.ok === true ? changes.value : { tree: "", baseHeight: 0, changes: [] };
}
