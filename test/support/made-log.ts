import assert from "node:assert/strict";
import { type Digest, Height } from "../../src/core/base/index.ts";
import type { Network } from "../../src/core/committee/index.ts";
import {
  append,
  cosign,
  emptyFrontier,
  type Frontier,
  inclusionProof,
  rootOf,
  type Signer,
  sha256,
  writeNote,
} from "../../src/core/crypto/index.ts";
import {
  applyChanges,
  DirectoryStore,
  encodeLeaf,
  encodeStateBody,
  stateDigest,
} from "../../src/core/mirror/index.ts";
import { nodesOnTheWay, writePathProof } from "../../src/core/proof/index.ts";

/** Writers of a network, and what they cosign with. */
export interface Committee {
  readonly network: Network;
  cosigner(writer: number): Signer;
}

/** A log that grows, and what its writers cosign. */
export class Log {
  readonly #committee: Committee;
  frontier: Frontier = emptyFrontier;
  readonly #hashes = new Map<string, Uint8Array>();

  constructor(committee: Committee) {
    this.#committee = committee;
  }

  add(leaf: Uint8Array): number {
    const { frontier, stored } = append(this.frontier, leaf);
    for (const { level, index, hash } of stored) this.#hashes.set(`${level}/${index}`, hash);
    this.frontier = frontier;
    return frontier.size - 1;
  }

  readonly read = (level: number, index: number): Uint8Array =>
    this.#hashes.get(`${level}/${index}`) ?? assert.fail();

  note(by: readonly number[] = [0, 1, 2]): string {
    const { network } = this.#committee;
    const checkpoint = {
      origin: network.origin,
      size: this.frontier.size,
      root: rootOf(this.frontier),
    };
    const lines = by.map((i) => {
      const name = network.cosigners[i]?.name ?? "";
      return cosign(checkpoint, { name, signer: this.#committee.cosigner(i), timeS: 100 + i });
    });
    return writeNote(checkpoint, lines, network.cosigners);
  }
}

export function stateOf(paths: Iterable<string>): {
  trees: Digest;
  nodes: Map<Digest, Uint8Array>;
} {
  const nodes = new Map<Digest, Uint8Array>();
  const store = new DirectoryStore(
    (root) => nodes.get(root),
    (root, node) => nodes.set(root, node),
  );
  const changes = [...paths].map((path) => {
    const digest = sha256(Buffer.from(path));
    const leaf = { kind: "file", digest, size: path.length, executable: false } as const;
    return { path, leaf, expect: "anything" } as const;
  });
  const made = applyChanges(store, undefined, changes);
  assert.ok(made.kind === "applied" && made.root !== undefined);
  const entry = { kind: "directory", root: made.root, count: made.count } as const;
  const trees = store.edit(undefined, new Map([["demo", entry]]))?.root ?? assert.fail();
  return { trees, nodes };
}

/** A proof of a path in a tree `demo` of these files, whose content is their names, among so many leaves. */
export function provenIn(
  committee: Committee,
  paths: Iterable<string>,
  path: string,
  leaves = 5,
): string {
  const { trees, nodes } = stateOf(paths);
  const log = new Log(committee);
  for (let i = 0; i < leaves; i++) log.add(Buffer.from(`before ${i}`));
  const body = { height: Height(7), trees, policy: sha256(Buffer.from("policy")) };
  const leaf = encodeLeaf({
    kind: "state",
    height: body.height,
    state: stateDigest(body),
    tsMs: 9,
  });
  const leafIndex = log.add(leaf);
  for (let i = 0; i < leaves; i++) log.add(Buffer.from(`after ${i}`));
  return writePathProof({
    path,
    leaf,
    leafIndex,
    hashes: inclusionProof(leafIndex, log.frontier.size, log.read),
    body: encodeStateBody(body),
    nodes: nodesOnTheWay((root) => nodes.get(root), trees, path.split("/")),
    note: log.note(),
  });
}
