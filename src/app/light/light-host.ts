import type { FastifyRequest } from "fastify";
import { type Digest, Height, InvariantError } from "../../core/base/index.ts";
import { type Leaf, lookup, type MissingNodeError } from "../../core/mirror/index.ts";
import type { MirrorClient, VerifiedHead } from "../client/index.ts";
import type { TreeHost } from "../gateway/index.ts";
import type { PinnedTrees } from "../store/index.ts";
import type { HeadKeeper } from "./head-keeper.ts";
import { verifiedBytes } from "./verified-bytes.ts";

type File = Extract<Leaf, { kind: "file" }>;

/** Directory nodes that are remembered; one has a kilobyte or so. */
const nodesMax = 50_000;
/** Paths whose content is remembered by its digest, and files that were looked up. */
const pathsMax = 50_000;

/** After so many paths of a tree its directories are fetched ahead of questions, so many nodes of them at most. */
const foreseen: ReadonlyMap<number, number> = new Map([
  [2, 500],
  [4, 5000],
]);

interface Seen {
  readonly digest: Digest;
  readonly sinceMs: number;
}

/** Trees as a proxy has them: everything is fetched from servers that nobody trusts, and verified, when it is asked for. */
export class LightHost implements TreeHost {
  readonly archive: TreeHost["archive"];
  readonly #client: MirrorClient;
  readonly #heads: HeadKeeper;
  readonly #spool: string;
  readonly #files = new Map<Digest, { readonly file: File; readonly url: string }>();
  readonly #seen = new Map<string, Seen>();
  /** Ways that were brought one by one, by height and tree. */
  readonly #brought = new Map<string, number>();
  /** Requests for whose path the directories were asked for already. */
  readonly #asked = new WeakSet<FastifyRequest>();

  constructor(options: {
    readonly client: MirrorClient;
    readonly heads: HeadKeeper;
    /** Where large files wait that cannot be verified in parts. */
    readonly spool: string;
  }) {
    this.#client = options.client;
    this.#heads = options.heads;
    this.#spool = options.spool;
    this.archive = this.#archive();
  }

  get servedHeight(): number {
    return this.#heads.last?.height ?? 0;
  }

  status(): { readonly moniker: string } {
    return { moniker: "smalti light" };
  }

  /** Content is here as soon as somebody gives it. */
  get blobs(): TreeHost["blobs"] {
    const stream = (digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array> => {
      const known = this.#files.get(digest);
      if (known === undefined) throw new InvariantError("a file that was not looked up");
      return verifiedBytes(this.#client, { ...known, start, end }, this.#spool);
    };
    return {
      has: () => true,
      stream,
      lend: (digest, { start, end }) => stream(digest, start, end),
    };
  }

  #archive(): TreeHost["archive"] {
    const [client, heads, seen] = [this.#client, this.#heads, this.#seen];
    return {
      get directories() {
        return client.directories;
      },
      height: (height) => {
        const head = heads.last?.height === height ? heads.last : heads.pinned(height);
        return head && { height: Height(head.height), trees: head.trees, tsMs: head.tsMs };
      },
      entry: (record, tree, names) => {
        const entry = lookup(client.directories, record.trees, [tree, ...names]);
        if (entry?.kind === "file") this.#remember(entry, record, [tree, ...names]);
        return entry;
      },
      // When a path last changed is nothing that its tree proves. It is told by when its content was first seen here:
      // never before it really changed, so no client keeps what is out of date.
      changedMs: (tree, path, height) => seen.get(`${tree}/${path}`)?.sinceMs ?? this.#tsMs(height),
    };
  }

  #tsMs(height: number): number | undefined {
    const { last } = this.#heads;
    return (last?.height === height ? last : this.#heads.pinned(height))?.tsMs;
  }

  #remember(file: File, record: PinnedTrees, names: readonly string[]): void {
    const path = names.map(encodeURIComponent).join("/");
    // The oldest leaves first: what an answer that is remembered stands for is still known.
    this.#files.delete(file.digest);
    this.#files.set(file.digest, { file, url: `/@${record.height}/${path}` });
    for (const [oldest] of this.#files) {
      if (this.#files.size <= pathsMax) break;
      this.#files.delete(oldest);
    }
    if (record.height !== this.servedHeight) return;
    const key = names.join("/");
    if (this.#seen.get(key)?.digest === file.digest) return;
    if (this.#seen.size >= pathsMax) this.#seen.clear();
    this.#seen.set(key, { digest: file.digest, sinceMs: this.#tsMs(record.height) ?? 0 });
  }

  pin(height: number): Promise<void> {
    return height === this.servedHeight ? Promise.resolve() : this.#heads.pin(height);
  }

  async heightAt(tsMs: number): Promise<number> {
    const { last } = this.#heads;
    if (last === undefined || tsMs >= last.tsMs) return this.servedHeight;
    return this.#client.heightAt(tsMs);
  }

  wantBlob(): void {
    // Every request asks anew.
  }

  refusal(error: unknown): { readonly status: number; readonly code: string } {
    const { code } = error as { code?: unknown };
    return { status: 502, code: typeof code === "string" ? code : "NO_SERVER" };
  }

  /** Before a request is looked at: the newest state. */
  async prepare(): Promise<void> {
    this.#client.trim(nodesMax);
    await this.#heads.newest();
  }

  /** First all on the way to the path, in one request; what is missing then is a directory that is listed. */
  async bring({ root }: MissingNodeError, request: FastifyRequest): Promise<void> {
    const isFirst = !this.#asked.has(request);
    this.#asked.add(request);
    const place = isFirst ? placeOf(request.raw.url ?? "/", this.servedHeight) : undefined;
    if (place === undefined) return this.#client.bringDirectory(root);
    const { last } = this.#heads;
    const head = last?.height === place.height ? last : this.#heads.pinned(place.height);
    if (head === undefined) return this.#client.bringDirectory(root);
    await this.#client.bringWay(place.path, head);
    this.#foresee(place.path, head);
  }

  /** Who asks for many paths of a tree will ask for more: its directories are brought together. */
  #foresee(path: string, head: PinnedTrees | VerifiedHead): void {
    const [tree = ""] = path.split("/");
    const key = `${head.height} ${tree}`;
    const count = (this.#brought.get(key) ?? 0) + 1;
    if (this.#brought.size > 1000) this.#brought.clear();
    this.#brought.set(key, count);
    const nodesMax = foreseen.get(count);
    if (nodesMax === undefined) return;
    const entry = lookup(this.#client.directories, head.trees, [tree]);
    if (entry?.kind === "directory")
      void this.#client.prefetch(entry.root, nodesMax).catch(() => undefined);
  }
}

/** The height and `TREE/path` of a URL; `undefined` where it names no path of a tree. */
function placeOf(
  url: string,
  served: number,
): { readonly height: number; readonly path: string } | undefined {
  try {
    const decoded = decodeURIComponent(url.split("?")[0] ?? "/");
    const [, pinned, rest = ""] = /^(?:\/@(\d{1,15}))?\/(.*?)\/?$/.exec(decoded) ?? [];
    return rest === ""
      ? undefined
      : { height: pinned === undefined ? served : Number(pinned), path: rest };
  } catch {
    return undefined;
  }
}
