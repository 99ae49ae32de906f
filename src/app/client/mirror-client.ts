import { type Digest, limits, type Result } from "../../core/base/index.ts";
import {
  type Difference,
  type DirectoryStore,
  differences,
  type Entry,
  type Leaf,
  leavesOf,
  lookup,
  nodeDigest,
  parsePath,
} from "../../core/mirror/index.ts";
import {
  checkConsistency,
  checkPathProof,
  entryIn,
  proofText,
  readPathProof,
} from "../../core/proof/index.ts";
import { ContentClient } from "./content-client.ts";
import { FetchedNodes } from "./fetched-nodes.ts";
import { compareWithMark, type MarkStore, Marks, markOf, staleHead } from "./high-water.ts";
import { rootOfLeaves } from "./local-root.ts";
import { convictedAmong } from "./proven-lie.ts";
import { type PoolOptions, quorumOf, smallHedgeMs, wrong } from "./server-pool.ts";
import { consistencyFromTiles } from "./tiles.ts";
import { askBytes, askJson } from "./transfer.ts";
import { type Trust, type VerifiedHead, verifyHead } from "./trust.ts";

/** The tree or path that was asked for is not there, provably. */
export class AbsentError extends Error {
  override readonly name = "AbsentError";
  readonly code = "NOT_FOUND";
}

/**
 * Once a server has shown a head, the others have so long to show theirs, milliseconds: some times what the first took. And
 * less once there are heads of more than could be left if a third of them were liars.
 */
const grace = {
  first: { least: 300, most: 1500, times: 4 },
  enough: { least: 50, most: 500, times: 2 },
};

function graceFor(firstMs: number, { least, most, times }: (typeof grace)["first"]): number {
  return Math.min(most, Math.max(least, times * firstMs));
}

const dayS = 86_400;

interface SmallAsk {
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/** A head as a server shows it. */
interface Shown {
  readonly verified: VerifiedHead;
  readonly json: unknown;
}

/** Reads trees from servers that nobody trusts: what it returns has been verified against the genesis. */
export class MirrorClient extends ContentClient {
  readonly #trust: Trust;
  readonly #marks: MarkStore | undefined;
  readonly #maxAgeS: number;
  readonly #nodes: FetchedNodes;

  constructor(
    options: PoolOptions & {
      readonly trust: Trust;
      /**
       * Where the newest head ever seen is remembered, so that a rollback to what was once true is seen: by default in
       * this client alone; a `MarkFile` remembers it over runs. `none` takes what was once true for new.
       */
      readonly marks?: MarkStore | "none";
      /** A head that no quorum has vouched for within so many seconds is refused (default: a day); `Infinity` takes any. */
      readonly maxAgeS?: number;
    },
  ) {
    super(options);
    this.#nodes = new FetchedNodes(this.pool);
    this.#trust = options.trust;
    const { marks = new Marks() } = options;
    this.#marks = marks === "none" ? undefined : marks;
    this.#maxAgeS = options.maxAgeS ?? dayS;
  }

  /** A question with a small answer: a server that hangs does not hold it up. */
  #small<T>(
    what: string,
    attempt: (server: string, options: SmallAsk) => Promise<Result<T>>,
  ): Promise<T> {
    const { patienceMs } = this.pool;
    return this.pool.first(what, (server, signal) => attempt(server, { patienceMs, signal }), {
      hedgeMs: smallHedgeMs,
    });
  }

  /** The newest state that the first answering server can prove, or the state at `height`. */
  head(height?: number): Promise<VerifiedHead> {
    const query = height === undefined ? "" : `?height=${height}`;
    const what = height === undefined ? "the newest state" : `the state at height ${height}`;
    return this.#small(what, async (server, options) =>
      verifyHead(
        this.#trust,
        await askJson<unknown>(`${server}/.smalti/head${query}`, options),
        height,
      ),
    );
  }

  /**
   * The newest among what all servers can prove: one stale server cannot hold a client back. Never older than one that
   * was seen before, nor than its age allows. Throws StaleError, ForkError, {@link NoHonestServerError}.
   */
  async newestHead(): Promise<VerifiedHead> {
    const newest = (await this.#newestShown()) ?? (await this.head());
    await this.#admit(newest);
    const ageS = Math.floor(Date.now() / 1000) - newest.leaseS;
    if (ageS <= this.#maxAgeS) return newest;
    throw staleHead(newest.height, { ageS, allowedS: this.#maxAgeS });
  }

  async #newestShown(): Promise<VerifiedHead | undefined> {
    let newest: VerifiedHead | undefined;
    const heads = new Map<string, unknown>();
    for (const [server, { verified, json }] of await this.#headsInTime()) {
      heads.set(server, json);
      if (newest === undefined || isNewer(verified, newest)) newest = verified;
    }
    for (const [server, detail] of await convictedAmong(this.#trust, heads))
      this.pool.lie(server, "CONVICTED", detail);
    return newest;
  }

  /** What the servers show: of all that answer, or that do so soon after the first one did. */
  async #headsInTime(): Promise<ReadonlyMap<string, Shown>> {
    const heads = new Map<string, Shown>();
    const waiting = new Set(this.servers);
    const enough = quorumOf(this.servers.length);
    let late: (() => void) | undefined;
    const patience = new Promise<void>((done) => {
      late = done;
    });
    const timers: NodeJS.Timeout[] = [];
    const startedMs = performance.now();
    let firstMs: number | undefined;
    const waitNoLonger = (row: (typeof grace)["first"]): void => {
      firstMs ??= performance.now() - startedMs;
      timers.push(setTimeout(() => late?.(), graceFor(firstMs, row)));
    };
    const stop = new AbortController();
    const asked = this.servers.map(async (server) => {
      try {
        const shown = await this.#headOf(server, stop.signal);
        if (shown === undefined) return;
        heads.set(server, shown);
        if (heads.size === 1) waitNoLonger(grace.first);
        if (heads.size === enough) waitNoLonger(grace.enough);
      } catch (error) {
        this.pool.rememberFailure(server, error);
      } finally {
        waiting.delete(server);
      }
    });
    await Promise.race([Promise.all(asked), patience]);
    for (const timer of timers) clearTimeout(timer);
    for (const server of waiting) this.pool.rememberLate(server);
    const found = new Map(heads);
    stop.abort();
    return found;
  }

  /** Compares a head with the newest that was seen before, and remembers it before it is used. */
  async #admit(head: VerifiedHead): Promise<void> {
    if (this.#marks === undefined) return;
    const mark = await this.#marks.read();
    if (mark !== undefined)
      await this.#small<void>("a proof that the log was only added to", (server, options) =>
        compareWithMark(this.#trust, { mark, head }, (from, to) =>
          consistencyFromTiles(server, { from, to }, options),
        ),
      );
    if (mark === undefined || isNewer(head, mark)) await this.#marks.write(markOf(head));
  }

  async #headOf(server: string, signal: AbortSignal): Promise<Shown | undefined> {
    const patienceMs = this.pool.patienceMs / 3;
    const json = await askJson<unknown>(`${server}/.smalti/head`, { patienceMs, signal });
    const verified = verifyHead(this.#trust, json);
    if (verified.ok) return { verified: verified.value, json };
    this.pool.lie(server, verified.error.code, verified.error.detail);
    return undefined;
  }

  /** The newest height at or before a time, POSIX milliseconds; 0 if all are later. Both neighbours are verified. */
  heightAt(tsMs: number): Promise<number> {
    return this.#small<number>("the height at a time", async (server, options) => {
      const url = `${server}/.smalti/v1/height-at?ms=${Math.floor(tsMs)}`;
      const { height } = await askJson<{ height?: unknown }>(url, options);
      if (typeof height !== "number" || !Number.isSafeInteger(height) || height < 0)
        return wrong("named no height");
      const isBefore = height === 0 || (await this.head(height)).tsMs <= tsMs;
      const next = await this.#headIfAny(height + 1);
      const isNext = next === undefined || next.tsMs > tsMs;
      return isBefore && isNext ? { ok: true, value: height } : wrong("named another height");
    });
  }

  async #headIfAny(height: number): Promise<VerifiedHead | undefined> {
    const newest = await this.head();
    return height > newest.height ? undefined : this.head(height);
  }

  // ── proofs ──

  /** A proof of what stands at `TREE/path` at a height, verified before it is handed out. */
  proof(path: string, height: number): Promise<string> {
    const url = `/.smalti/proof/${height}/${path.split("/").map(encodeURIComponent).join("/")}`;
    return this.#small(`a proof of ${path}`, async (server, options) => {
      const written = proofText(await askBytes(`${server}${url}`, limits.proofBytesMax, options));
      const proven = written.ok ? checkPathProof(this.#trust, written.value) : written;
      if (!proven.ok) return proven;
      return proven.value.path === path && proven.value.height === height
        ? written
        : wrong(`sent a proof of ${proven.value.path} at height ${proven.value.height}`);
    });
  }

  /** A proof that one certified log is the beginning of another; sizes in leaves, `to` the newest if not given. */
  consistency(from: number, to?: number): Promise<string> {
    const query = to === undefined ? "" : `?to=${to}`;
    return this.#small(`a proof from ${from} leaves on`, async (server, options) => {
      const url = `${server}/.smalti/consistency/${from}${query}`;
      const written = proofText(await askBytes(url, limits.proofBytesMax, options));
      const checked = written.ok ? checkConsistency(this.#trust, written.value) : written;
      return checked.ok ? written : checked;
    });
  }

  // ── trees ──

  /** The entry at `path` of a tree; the empty path is its root directory. Throws {@link AbsentError}. */
  async entry(head: VerifiedHead, tree: string, path: string): Promise<Entry> {
    const trimmed = path.replace(/\/$/, "");
    const names = trimmed === "" ? { ok: true as const, value: [] } : parsePath(trimmed);
    if (!names.ok) throw new AbsentError(`${path} cannot be a path: ${names.error.detail}`);
    const list = names.value;
    const entry = await this.#nodes.lookUp((store) => lookup(store, head.trees, [tree, ...list]));
    if (entry === undefined)
      throw new AbsentError(`${tree}/${path} is not in height ${head.height}`);
    return entry;
  }

  /** The entries of a directory. */
  async list(root: Digest | undefined): Promise<ReturnType<DirectoryStore["list"]>> {
    await this.#nodes.load(root, false);
    return this.#nodes.lookUp((store) => store.list(root));
  }

  /** All leaves of a tree by path; an absent tree has none. */
  async leaves(head: VerifiedHead, tree: string): Promise<ReadonlyMap<string, Leaf>> {
    const entry = await this.#nodes.lookUp((store) => lookup(store, head.trees, [tree]));
    if (entry?.kind !== "directory") return new Map();
    return this.leavesBelow(entry.root);
  }

  /** All leaves of a directory and of those below it, by path. */
  async leavesBelow(root: Digest): Promise<ReadonlyMap<string, Leaf>> {
    await this.#nodes.load(root, true);
    const leaves = new Map<string, Leaf>();
    for (const { path, leaf } of leavesOf(this.#nodes.store, root)) leaves.set(path, leaf);
    return leaves;
  }

  /** The root directory of a tree; `undefined` of one that is absent. */
  async rootOf(head: VerifiedHead | undefined, tree: string): Promise<Digest | undefined> {
    const entry = head && (await this.#nodes.lookUp((store) => lookup(store, head.trees, [tree])));
    return entry?.kind === "directory" ? entry.root : undefined;
  }

  /**
   * What differs between a tree, which may be absent, and local leaves, in path order: `before` is the tree's. Only
   * those directories of the tree are fetched that the local one does not have alike.
   */
  async differences(
    head: VerifiedHead | undefined,
    tree: string,
    local: ReadonlyMap<string, { readonly leaf: Leaf }>,
  ): Promise<readonly Difference[]> {
    const own = new Map<Digest, Uint8Array>();
    const after = rootOfLeaves(local, own);
    for (const [digest, node] of own) this.#nodes.keep(digest, node);
    const before = await this.rootOf(head, tree);
    await this.#nodes.load(before, true, (digest) => own.has(digest));
    return [...differences(this.#nodes.store, { before, after })];
  }

  /** The directories that were fetched so far; a lookup throws MissingNodeError where more are needed. */
  get directories(): DirectoryStore {
    return this.#nodes.store;
  }

  /**
   * Fetches the directory nodes on the way to `TREE/path` in a verified state, in one request. They stand for themselves:
   * what hangs on the state's root by its hashes is right, whatever else the answer claims.
   */
  async bringWay(
    path: string,
    { height, trees }: Pick<VerifiedHead, "height" | "trees">,
  ): Promise<void> {
    const url = `/.smalti/proof/${height}/${path.split("/").map(encodeURIComponent).join("/")}`;
    await this.#small<undefined>(`the way to ${path}`, async (server, options) => {
      const bytes = await askBytes(`${server}${url}`, limits.proofBytesMax, options);
      const written = proofText(bytes);
      const read = written.ok ? readPathProof(written.value) : written;
      if (!read.ok) return read;
      const entry = entryIn(read.value.nodes, trees, path.split("/"));
      if (!entry.ok) return entry;
      for (const node of read.value.nodes) this.#nodes.keep(nodeDigest(node), node);
      return { ok: true, value: undefined };
    });
  }

  /** Fetches the directories below one, level by level, until so many nodes were fetched. */
  prefetch(root: Digest, nodesMax: number): Promise<void> {
    return this.#nodes.prefetch(root, nodesMax);
  }

  /** Fetches all nodes of one directory, not of those below it. */
  bringDirectory(root: Digest): Promise<void> {
    return this.#nodes.load(root, false);
  }

  /** Forgets directories if more than `nodesMax` nodes are remembered. */
  trim(nodesMax: number): void {
    this.#nodes.trim(nodesMax);
  }
}

function isNewer(
  a: Pick<VerifiedHead, "logSize" | "leaseS">,
  b: Pick<VerifiedHead, "logSize" | "leaseS">,
): boolean {
  return a.logSize > b.logSize || (a.logSize === b.logSize && a.leaseS > b.leaseS);
}
