import type { Digest } from "../../core/base/index.ts";
import {
  type DirectoryNode,
  DirectoryStore,
  MissingNodeError,
  nodeDigest,
  readNode,
} from "../../core/mirror/index.ts";
import { type ServerPool, wrong } from "./server-pool.ts";
import { askBulk, groupsOf, ServerError } from "./transfer.ts";

const bulkCount = 1024;
/** Directory nodes that are kept as they were read; one takes some kilobytes. */
const readMax = 4096;

/** Directory nodes that were fetched from servers nobody trusts: each is what its name says. */
export class FetchedNodes {
  readonly #pool: ServerPool;
  readonly #nodes = new Map<Digest, Uint8Array>();
  /** Some of the nodes, read. */
  readonly #read = new Map<Digest, DirectoryNode>();

  constructor(pool: ServerPool) {
    this.#pool = pool;
  }

  keep(digest: Digest, node: Uint8Array): void {
    this.#nodes.set(digest, node);
  }

  /** Forgets all if more than `nodesMax` nodes are remembered. */
  trim(nodesMax: number): void {
    if (this.#nodes.size > nodesMax) this.#nodes.clear();
  }

  /** What was fetched so far; a lookup throws {@link MissingNodeError} where more is needed. */
  get store(): DirectoryStore {
    return new DirectoryStore(
      (root) => this.#node(root),
      () => undefined,
    );
  }

  /** Nodes near the roots are asked for again and again: the last ones that were read stay read. */
  #node(root: Digest): DirectoryNode | undefined {
    const known = this.#read.get(root);
    if (known !== undefined) return known;
    const bytes = this.#nodes.get(root);
    const node = bytes === undefined ? undefined : readNode(bytes);
    if (node?.ok !== true) return undefined;
    if (this.#read.size >= readMax) this.#read.clear();
    this.#read.set(root, node.value);
    return node.value;
  }

  /** Runs a lookup, fetching the nodes that it misses. */
  async lookUp<T>(work: (store: DirectoryStore) => T): Promise<T> {
    for (;;) {
      try {
        return work(this.store);
      } catch (error) {
        if (!(error instanceof MissingNodeError)) throw error;
        await this.#fetchNodes(new Set([error.root]));
      }
    }
  }

  /**
   * Fetches a directory's nodes level by level, many at a time; `deep` goes into subdirectories too, but not below what
   * `isWhole` says is here with all that is below it.
   */
  async load(
    root: Digest | undefined,
    deep: boolean,
    isWhole: (digest: Digest) => boolean = () => false,
  ): Promise<void> {
    let level = new Set<Digest>(root === undefined || isWhole(root) ? [] : [root]);
    while (level.size > 0) {
      await this.#fetchMissing(level);
      // Equal directories are one: it is fetched once, and gone into once.
      const next = new Set<Digest>();
      for (const digest of level)
        for (const child of childrenOf(this.#node(digest), deep))
          if (!isWhole(child)) next.add(child);
      level = next;
    }
  }

  /** Fetches those of the nodes that are not here; with `nodesMax`, the first ones. Returns how many. */
  async #fetchMissing(
    nodes: Iterable<Digest>,
    nodesMax = Number.POSITIVE_INFINITY,
  ): Promise<number> {
    const missing = [...new Set(nodes)].filter((digest) => !this.#nodes.has(digest));
    const wanted = missing.slice(0, nodesMax);
    for (const group of groupsOf(wanted, bulkCount)) await this.#fetchNodes(group);
    return wanted.length;
  }

  /** An answer takes so many bytes: what it leaves out is asked for again, as long as each brings something. */
  async #fetchNodes(digests: ReadonlySet<Digest>): Promise<void> {
    for (let missing = digests; missing.size > 0; ) {
      await this.#fetchSomeNodes(missing);
      missing = new Set([...missing].filter((digest) => !this.#nodes.has(digest)));
    }
  }

  async #fetchSomeNodes(digests: ReadonlySet<Digest>): Promise<void> {
    await this.#pool.first<undefined>(`${digests.size} directory nodes`, async (server) => {
      const { patienceMs } = this.#pool;
      for await (const { digest, bytes } of askBulk(server, "nodes", digests, {
        deadlineMs: 8 * patienceMs,
      })) {
        if (nodeDigest(bytes) !== digest || !readNode(bytes).ok)
          return wrong(`directory node ${digest} has other bytes`);
        this.#nodes.set(digest, Buffer.from(bytes));
      }
      if ([...digests].some((digest) => this.#nodes.has(digest)))
        return { ok: true, value: undefined };
      const why = `${digests.size} directory nodes are not there`;
      throw new ServerError(server, 404, "NOT_FOUND", why);
    });
  }

  /** Fetches the directories below one, level by level, until so many nodes were fetched. */
  async prefetch(root: Digest, nodesMax: number): Promise<void> {
    let level = new Set([root]);
    for (let left = nodesMax; level.size > 0 && left > 0; ) {
      left -= await this.#fetchMissing(level, left);
      level = new Set([...level].flatMap((digest) => childrenOf(this.#node(digest), true)));
    }
  }
}

function childrenOf(node: DirectoryNode | undefined, deep: boolean): Digest[] {
  if (node === undefined) return [];
  if (node.kind === "inner") return node.children.flatMap((child) => child?.root ?? []);
  return deep
    ? node.entries.flatMap(({ entry }) => (entry.kind === "directory" ? [entry.root] : []))
    : [];
}
