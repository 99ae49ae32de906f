import type { IncomingMessage } from "node:http";
import { bulkHead } from "../../src/app/client/index.ts";
import { type Digest, Height, toBase64 } from "../../src/core/base/index.ts";
import type { Network } from "../../src/core/committee/index.ts";
import { cosign, leafHash, type Signer, sha256, writeNote } from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  type Change,
  DirectoryStore,
  encodeLeaf,
  encodeStateBody,
  lookup,
  stateDigest,
} from "../../src/core/mirror/index.ts";
import type { HostileServer, Trick } from "./hostile-server.ts";

/** A tree made in the test's own process: what every network has that published these files. */
export interface MadeTree {
  /** Directory of all trees. */
  readonly trees: Digest;
  readonly nodes: ReadonlyMap<Digest, Uint8Array>;
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
  /** Content by path, the tree's name in front. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Node of the directory at a path of the tree; the empty path is its root. */
  directory(path: string): { readonly digest: Digest; readonly bytes: Uint8Array };
}

export function treeOf(
  tree: string,
  contents: Readonly<Record<string, string | Uint8Array>>,
): MadeTree {
  const nodes = new Map<Digest, Uint8Array>();
  const blobs = new Map<Digest, Uint8Array>();
  const files = new Map<string, Uint8Array>();
  const changes: Change[] = [];
  for (const [path, content] of Object.entries(contents)) {
    const bytes = Buffer.from(content);
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    files.set(`${tree}/${path}`, bytes);
    const leaf = { kind: "file", digest, size: bytes.length, executable: false } as const;
    changes.push({ path, leaf, expect: "anything" });
  }
  const store = new DirectoryStore(
    (root) => nodes.get(root),
    (root, node) => nodes.set(root, node),
  );
  const made = applyChanges(store, undefined, changes);
  if (made.kind !== "applied" || made.root === undefined) throw new Error("no such tree");
  const { root } = made;
  const count = store.list(root).length;
  const trees = store.edit(undefined, new Map([[tree, { kind: "directory", root, count }]]))?.root;
  if (trees === undefined) throw new Error("no trees");
  const directory = (path: string): { digest: Digest; bytes: Uint8Array } => {
    const entry = lookup(store, trees, [tree, ...(path === "" ? [] : path.split("/"))]);
    const bytes = entry?.kind === "directory" ? nodes.get(entry.root) : undefined;
    if (entry?.kind !== "directory" || bytes === undefined) throw new Error(`no directory ${path}`);
    return { digest: entry.root, bytes };
  };
  return { trees, nodes, blobs, files, directory };
}

/** The answer to "what is the state?" that proves itself, but for who signed it: a log of this one leaf. */
export function madeHead(
  network: Network,
  state: { readonly trees: Digest; readonly height: number; readonly policy: Digest },
  signers: readonly { readonly writer: number; readonly signer: Signer }[],
): Readonly<Record<string, unknown>> {
  const body = { ...state, height: Height(state.height) };
  const tsMs = Date.now();
  const leaf = encodeLeaf({ kind: "state", height: body.height, state: stateDigest(body), tsMs });
  const checkpoint = { origin: network.origin, size: 1, root: leafHash(leaf) };
  const timeS = Math.floor(tsMs / 1000);
  const cosignatures = signers.map(({ writer, signer }) =>
    cosign(checkpoint, { name: network.cosigners[writer]?.name ?? "", signer, timeS }),
  );
  return {
    height: state.height,
    body: toBase64(encodeStateBody(body)),
    tsMs,
    leafIndex: 0,
    leaf: toBase64(leaf),
    proof: [],
    checkpoint: writeNote(checkpoint, cosignatures, network.cosigners),
  };
}

/** What a server claims; all else it passes on. */
export interface Claims {
  readonly head?: unknown;
  /** Bytes that it gives for a digest, whether they are its own or another's. */
  readonly bytes?: ReadonlyMap<Digest, Uint8Array>;
  /** Content by path, the tree's name in front. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** Digests that it does not have. */
  readonly withheld?: ReadonlySet<Digest>;
}

/** Everything of a tree, each under its own digest. */
export function bytesOf(tree: MadeTree): Map<Digest, Uint8Array> {
  return new Map([...tree.nodes, ...tree.blobs]);
}

/** A trick that claims. */
export function pretend(evil: HostileServer, claims: Claims): Trick {
  return async (request, response) => {
    const { url = "/" } = request;
    if (/^\/\.smalti\/head/.test(url)) {
      if (claims.head === undefined) return false;
      response.end(JSON.stringify(claims.head));
      return true;
    }
    if (/^\/\.smalti\/v1\/(nodes|blobs)$/.test(url)) {
      response.end(await bulk(request, claims, evil.honest));
      return true;
    }
    const named = /^\/\.smalti\/blob\/sha256\/(\w+)$/.exec(url)?.[1] as Digest | undefined;
    if (named !== undefined && claims.withheld?.has(named)) {
      response.writeHead(404).end("{}");
      return true;
    }
    const path = /^(?:\/@\d+)?\/([^.].*)$/.exec(url)?.[1] ?? "";
    const bytes = named === undefined ? claims.files?.get(path) : claims.bytes?.get(named);
    if (bytes !== undefined) response.end(bytes);
    return bytes !== undefined;
  };
}

async function bulk(
  request: IncomingMessage,
  { bytes, withheld }: Claims,
  honest: string,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const { digests } = JSON.parse(Buffer.concat(pieces).toString()) as { digests: Digest[] };
  const answers: Uint8Array[] = [];
  const others: Digest[] = [];
  for (const digest of digests) {
    const own = bytes?.get(digest);
    if (own !== undefined) answers.push(bulkHead(digest, own.length), own);
    else if (!withheld?.has(digest)) others.push(digest);
  }
  const rest = await fetch(`${honest}${request.url}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ digests: others }),
  });
  return Buffer.concat([...answers, Buffer.from(await rest.arrayBuffer())]);
}

/** A trick that passes everything on to another server than the honest one, and bends what that says. */
export function insteadOf(
  evil: HostileServer,
  other: string,
  bend: (url: string, bytes: Buffer) => Buffer | string = (_, bytes) => bytes,
): Trick {
  return async (request, response) => {
    const { bytes, status, headers } = await evil.pass(request, other);
    response.writeHead(status, headers).end(bend(request.url ?? "", bytes));
    return true;
  };
}
