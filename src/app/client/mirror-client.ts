import { assert, type Digest, limits, type Result } from "../../core/base/index.ts";
import {
  applyChanges,
  type Change,
  type Difference,
  type DirectoryNode,
  DirectoryStore,
  differences,
  type Entry,
  type Leaf,
  leavesOf,
  lookup,
  MissingNodeError,
  nodeDigest,
  parsePath,
  readNode,
} from "../../core/mirror/index.ts";
import { checkConsistency, checkPathProof, proofText } from "../../core/proof/index.ts";
import { compareWithMark, ForkError, type MarkStore, markOf, StaleError } from "./high-water.ts";
import { type BlobSink, fill } from "./large-blob.ts";
import { convictedAmong } from "./proven-lie.ts";
import { consistencyFromTiles } from "./tiles.ts";
import { ask, askBulk, askBytes, askJson, readAll, ServerError, stallMs } from "./transfer.ts";
import { isBlob, type Trust, type VerifiedHead, verifyHead } from "./trust.ts";

/** A server said something that does not verify. */
export interface Lie {
  readonly server: string;
  readonly code: string;
  readonly detail: string;
}

/** No server gave an answer that verifies; `lies` says who was refused and why. */
export class NoHonestServerError extends Error {
  override readonly name = "NoHonestServerError";
  readonly code: string;
  readonly lies: readonly Lie[];
  constructor(what: string, lies: readonly Lie[], reasons: readonly string[]) {
    const told = [...lies.map((lie) => `${lie.server}: refused, ${lie.detail}`), ...reasons];
    super(`no server could give ${what}\n  ${told.join("\n  ")}`);
    this.code = lies.length > 0 ? "VERIFICATION_FAILED" : "NO_SERVER";
    this.lies = lies;
  }
}

/** The tree or path that was asked for is not there, provably. */
export class AbsentError extends Error {
  override readonly name = "AbsentError";
  readonly code = "NOT_FOUND";
}

const bulkCount = 1024;

/** Reads trees from servers that nobody trusts: what it returns has been verified against the genesis. */
export class MirrorClient {
  readonly #trust: Trust;
  readonly #servers: readonly string[];
  readonly #onLie: (lie: Lie) => void;
  readonly #marks: MarkStore | undefined;
  readonly #maxAgeS: number;
  readonly #nodes = new Map<Digest, Uint8Array>();
  readonly #liars = new Set<string>();
  readonly lies: Lie[] = [];

  constructor(options: {
    readonly trust: Trust;
    readonly servers: readonly string[];
    readonly onLie?: (lie: Lie) => void;
    /** Where the newest head ever seen is remembered; without it, a rollback to what was once true is not seen. */
    readonly marks?: MarkStore;
    /** A head that no quorum has vouched for within so many seconds is refused; without it, any age is taken. */
    readonly maxAgeS?: number;
  }) {
    this.#trust = options.trust;
    this.#servers = options.servers.map((server) => server.replace(/\/+$/, ""));
    this.#onLie = options.onLie ?? (() => undefined);
    this.#marks = options.marks;
    this.#maxAgeS = options.maxAgeS ?? Number.POSITIVE_INFINITY;
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  #lie(server: string, code: string, detail: string): Lie {
    const lie = { server, code, detail };
    this.#liars.add(server);
    this.lies.push(lie);
    this.#onLie(lie);
    return lie;
  }

  /** Asks servers one after the other until one gives an answer that verifies; liars are asked last. */
  async #first<T>(what: string, attempt: (server: string) => Promise<Result<T>>): Promise<T> {
    const order = [...this.#servers].sort(
      (a, b) => Number(this.#liars.has(a)) - Number(this.#liars.has(b)),
    );
    const lies: Lie[] = [];
    const reasons: string[] = [];
    for (const server of order) {
      try {
        const result = await attempt(server);
        if (result.ok) return result.value;
        lies.push(this.#lie(server, result.error.code, result.error.detail));
      } catch (error) {
        if (error instanceof StaleError || error instanceof ForkError) throw error;
        reasons.push(
          error instanceof ServerError ? error.message : `${server}: ${reasonOf(error)}`,
        );
      }
    }
    throw new NoHonestServerError(what, lies, reasons);
  }

  /** The newest state that the first answering server can prove, or the state at `height`. */
  head(height?: number): Promise<VerifiedHead> {
    const query = height === undefined ? "" : `?height=${height}`;
    const what = height === undefined ? "the newest state" : `the state at height ${height}`;
    return this.#first(what, async (server) =>
      verifyHead(this.#trust, await askJson<unknown>(`${server}/.smalti/head${query}`), height),
    );
  }

  /**
   * The newest among what all servers can prove: one stale server cannot hold a client back. Never older than one that
   * was seen before, nor than its age allows. Throws {@link StaleError}, ForkError, {@link NoHonestServerError}.
   */
  async newestHead(): Promise<VerifiedHead> {
    const newest = (await this.#newestShown()) ?? (await this.head());
    await this.#admit(newest);
    const ageS = Math.floor(Date.now() / 1000) - newest.leaseS;
    if (ageS <= this.#maxAgeS) return newest;
    throw new StaleError(
      "STALE",
      `the newest state is height ${newest.height}, and the writers last vouched for it ${ageS} s ago (allowed: ${this.#maxAgeS} s): the network stands still, or these servers hold back what is newer`,
    );
  }

  async #newestShown(): Promise<VerifiedHead | undefined> {
    const answers = await Promise.allSettled(this.#servers.map((server) => this.#headOf(server)));
    let newest: VerifiedHead | undefined;
    const heads = new Map<string, unknown>();
    for (const [i, answer] of answers.entries()) {
      if (answer.status !== "fulfilled" || answer.value === undefined) continue;
      const { verified, json } = answer.value;
      heads.set(this.#servers[i] ?? "", json);
      if (newest === undefined || isNewer(verified, newest)) newest = verified;
    }
    for (const [server, detail] of await convictedAmong(this.#trust, heads))
      this.#lie(server, "CONVICTED", detail);
    return newest;
  }

  /** Compares a head with the newest that was seen before, and remembers it before it is used. */
  async #admit(head: VerifiedHead): Promise<void> {
    if (this.#marks === undefined) return;
    const mark = await this.#marks.read();
    if (mark !== undefined)
      await this.#first<void>("a proof that the log was only added to", (server) =>
        compareWithMark(this.#trust, { mark, head }, (from, to) =>
          consistencyFromTiles(server, from, to),
        ),
      );
    if (mark === undefined || isNewer(head, mark)) await this.#marks.write(markOf(head));
  }

  async #headOf(server: string): Promise<{ verified: VerifiedHead; json: unknown } | undefined> {
    const json = await askJson<unknown>(`${server}/.smalti/head`, { patienceMs: stallMs / 3 });
    const verified = verifyHead(this.#trust, json);
    if (verified.ok) return { verified: verified.value, json };
    this.#lie(server, verified.error.code, verified.error.detail);
    return undefined;
  }

  // ── proofs ──

  /** A proof of what stands at `TREE/path` at a height, verified before it is handed out. */
  proof(path: string, height: number): Promise<string> {
    const url = `/.smalti/proof/${height}/${path.split("/").map(encodeURIComponent).join("/")}`;
    return this.#first(`a proof of ${path}`, async (server) => {
      const written = proofText(await askBytes(`${server}${url}`, limits.proofBytesMax));
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
    return this.#first(`a proof from ${from} leaves on`, async (server) => {
      const url = `${server}/.smalti/consistency/${from}${query}`;
      const written = proofText(await askBytes(url, limits.proofBytesMax));
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
    const entry = await this.#withNodes((store) => lookup(store, head.trees, [tree, ...list]));
    if (entry === undefined)
      throw new AbsentError(`${tree}/${path} is not in height ${head.height}`);
    return entry;
  }

  /** The entries of a directory. */
  async list(root: Digest | undefined): Promise<ReturnType<DirectoryStore["list"]>> {
    await this.#load(root, false);
    return this.#withNodes((store) => store.list(root));
  }

  /** All leaves of a tree by path; an absent tree has none. */
  async leaves(head: VerifiedHead, tree: string): Promise<ReadonlyMap<string, Leaf>> {
    const entry = await this.#withNodes((store) => lookup(store, head.trees, [tree]));
    if (entry?.kind !== "directory") return new Map();
    return this.leavesBelow(entry.root);
  }

  async leavesBelow(root: Digest): Promise<ReadonlyMap<string, Leaf>> {
    await this.#load(root, true);
    const leaves = new Map<string, Leaf>();
    for (const { path, leaf } of leavesOf(this.#store, root)) leaves.set(path, leaf);
    return leaves;
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
    for (const [digest, node] of own) this.#nodes.set(digest, node);
    const entry = head && (await this.#withNodes((store) => lookup(store, head.trees, [tree])));
    const before = entry?.kind === "directory" ? entry.root : undefined;
    await this.#load(before, true, (digest) => own.has(digest));
    return [...differences(this.#store, { before, after })];
  }

  get #store(): DirectoryStore {
    return new DirectoryStore(
      (root) => this.#nodes.get(root),
      () => undefined,
    );
  }

  /** Runs a lookup, fetching the nodes that it misses. */
  async #withNodes<T>(work: (store: DirectoryStore) => T): Promise<T> {
    for (;;) {
      try {
        return work(this.#store);
      } catch (error) {
        if (!(error instanceof MissingNodeError)) throw error;
        await this.#fetchNodes([error.root]);
      }
    }
  }

  /**
   * Fetches a directory's nodes level by level, many at a time; `deep` goes into subdirectories too, but not below what
   * `isWhole` says is here with all that is below it.
   */
  async #load(
    root: Digest | undefined,
    deep: boolean,
    isWhole: (digest: Digest) => boolean = () => false,
  ): Promise<void> {
    let level: Digest[] = root === undefined || isWhole(root) ? [] : [root];
    while (level.length > 0) {
      const missing = level.filter((digest) => !this.#nodes.has(digest));
      for (let i = 0; i < missing.length; i += bulkCount)
        await this.#fetchNodes(missing.slice(i, i + bulkCount));
      const next: Digest[] = [];
      for (const digest of level) next.push(...childrenOf(this.#nodes.get(digest), deep));
      level = next.filter((digest) => !isWhole(digest));
    }
  }

  async #fetchNodes(digests: readonly Digest[]): Promise<void> {
    await this.#first<undefined>(`${digests.length} directory nodes`, async (server) => {
      const asked = new Set(digests);
      for await (const { digest, bytes } of askBulk(server, "nodes", digests)) {
        if (!asked.delete(digest)) return wrong("sent what was not asked for");
        if (nodeDigest(bytes) !== digest || !readNode(bytes).ok)
          return wrong(`directory node ${digest} has other bytes`);
        this.#nodes.set(digest, Buffer.from(bytes));
      }
      const missing = digests.filter((digest) => !this.#nodes.has(digest));
      if (missing.length > 0)
        throw new ServerError(
          server,
          404,
          "NOT_FOUND",
          `${missing.length} directory nodes are not there`,
        );
      return { ok: true, value: undefined };
    });
  }

  // ── content ──

  /** Many small blobs; each is handed out as soon as it is verified, in no order. */
  async *smallBlobs(
    digests: readonly Digest[],
  ): AsyncGenerator<{ readonly digest: Digest; readonly bytes: Uint8Array }> {
    for (let i = 0; i < digests.length; i += bulkCount) {
      let missing = new Set(digests.slice(i, i + bulkCount));
      while (missing.size > 0) {
        const wanted = missing;
        const got = await this.#first(`${wanted.size} files`, (server) =>
          this.#bulkFrom(server, wanted),
        );
        yield* got;
        missing = new Set(
          [...wanted].filter((digest) => !got.some((item) => item.digest === digest)),
        );
      }
    }
  }

  async #bulkFrom(
    server: string,
    wanted: ReadonlySet<Digest>,
  ): Promise<Result<readonly { readonly digest: Digest; readonly bytes: Uint8Array }[]>> {
    const got: { digest: Digest; bytes: Uint8Array }[] = [];
    const asked = new Set(wanted);
    for await (const { digest, bytes } of askBulk(server, "blobs", [...wanted])) {
      if (!asked.delete(digest)) return wrong("sent what was not asked for");
      if (!isBlob(bytes, digest)) return wrong(`blob ${digest.slice(0, 16)}… has other bytes`);
      got.push({ digest, bytes: Buffer.from(bytes) });
    }
    if (got.length === 0)
      throw new ServerError(server, 404, "NOT_FOUND", "none of the files is there");
    return { ok: true, value: got };
  }

  /** A blob of up to `packedBlobBytesMax`, through the path that people use, verified before it is returned. */
  small(digest: Digest, url: string): Promise<Uint8Array> {
    return this.#first<Uint8Array>(`blob ${digest.slice(0, 16)}…`, async (server) => {
      const { body } = await ask(`${server}${url}`);
      const bytes = await readAll(body, limits.packedBlobBytesMax, server);
      return isBlob(bytes, digest)
        ? { ok: true, value: bytes }
        : wrong(`${url} has other bytes than height and path say`);
    });
  }

  /**
   * Streams a large blob into `sink` and verifies the whole of it, going on after what the sink has already.
   * Returns after the digest is proven; on a lie the sink is told to begin again.
   */
  async large(
    blob: { readonly digest: Digest; readonly size: number },
    sink: BlobSink,
  ): Promise<void> {
    await this.#first<undefined>(`blob ${blob.digest.slice(0, 16)}…`, async (server) => {
      // What another server left may be wrong: nobody is blamed before he has brought it all himself.
      if ((await sink.offset()) > 0 && (await this.#brings(server, blob, sink)) === undefined)
        return done;
      await sink.reset();
      const fault = await this.#brings(server, blob, sink);
      if (fault === undefined) return done;
      await sink.reset();
      return wrong(fault);
    });
  }

  /** Fetches the rest from one server; returns what is wrong with the whole, if anything. */
  async #brings(
    server: string,
    blob: { readonly digest: Digest; readonly size: number },
    sink: BlobSink,
  ): Promise<string | undefined> {
    const hash = await sink.hash();
    const fault = await fill(server, blob, { sink, hash });
    if (fault !== undefined || hash.digest("hex") === blob.digest) return fault;
    return `blob ${blob.digest.slice(0, 16)}… has other bytes`;
  }
}

function isNewer(
  a: Pick<VerifiedHead, "logSize" | "leaseS">,
  b: Pick<VerifiedHead, "logSize" | "leaseS">,
): boolean {
  return a.logSize > b.logSize || (a.logSize === b.logSize && a.leaseS > b.leaseS);
}

const done: Result<undefined> = { ok: true, value: undefined };

/** The root of the tree that local leaves make; its nodes go into `nodes`. */
function rootOfLeaves(
  leaves: ReadonlyMap<string, { readonly leaf: Leaf }>,
  nodes: Map<Digest, Uint8Array>,
): Digest | undefined {
  const store = new DirectoryStore(
    (root) => nodes.get(root),
    (root, node) => nodes.set(root, node),
  );
  const changes: Change[] = [];
  for (const [path, { leaf }] of leaves) changes.push({ path, leaf, expect: "anything" });
  const made = applyChanges(store, undefined, changes);
  assert(made.kind === "applied", "a directory's paths do not collide");
  return made.root;
}

function wrong(detail: string): Result<never> {
  return { ok: false, error: { code: "WRONG_BYTES", detail } };
}

function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? (error instanceof Error ? error.message : String(error));
}

function childrenOf(bytes: Uint8Array | undefined, deep: boolean): Digest[] {
  const node = bytes === undefined ? undefined : readNode(bytes);
  if (node?.ok !== true) return [];
  const value: DirectoryNode = node.value;
  if (value.kind === "inner") return value.children.flatMap((child) => child?.root ?? []);
  return deep
    ? value.entries.flatMap(({ entry }) => (entry.kind === "directory" ? [entry.root] : []))
    : [];
}
