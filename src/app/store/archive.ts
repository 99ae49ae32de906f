import {
  assert,
  type Digest,
  Height,
  type PublicKey,
  readBigEndian,
  toBase64,
} from "../../core/base/index.ts";
import { type HashReader, inclusionProof } from "../../core/crypto/index.ts";
import {
  type ConvictionRecord,
  DirectoryStore,
  type DueRecord,
  decodeConviction,
  decodeDue,
  decodeHeightRecord,
  decodeOutcome,
  type Entry,
  encodeStateBody,
  type HeightRecord,
  hashedPath,
  lookup,
  type NodeReader,
  type OutcomeRecord,
  stateKeys,
} from "../../core/mirror/index.ts";
import { nodesOnTheWay, type PathProof } from "../../core/proof/index.ts";
import type { StateStore } from "../../io/ports/index.ts";

/** A certified checkpoint of this host's own log. */
export interface CertifiedHead {
  readonly due: DueRecord;
  readonly note: string;
}

/** All trees at one height. */
export type PinnedTrees = Pick<HeightRecord, "height" | "trees" | "tsMs">;

/** The proof that a height's state stands in a certified log, as JSON. Binary fields are base64. */
export interface HeadProof {
  readonly height: number;
  /** Canonical state body: height, trees, policy. */
  readonly body: string;
  readonly tsMs: number;
  readonly leafIndex: number;
  readonly leaf: string;
  readonly proof: readonly string[];
  readonly checkpoint: string;
}

/** Everything a host can say about the past, read from its state store. */
export class Archive {
  readonly #state: StateStore;

  constructor(state: StateStore) {
    this.#state = state;
  }

  /** The newest certified checkpoint. */
  certified(): CertifiedHead | undefined {
    for (const head of this.checkpoints()) return head;
    return undefined;
  }

  /** Certified checkpoints that are kept, newest first. */
  *checkpoints(): Generator<CertifiedHead> {
    const [start, end] = [stateKeys.checkpoint(0), stateKeys.checkpoint(2 ** 47)];
    for (const [key, value] of this.#state.range({ start, end, reverse: true })) {
      const stored = this.#state.get(stateKeys.due(Number.parseInt(key.slice(2), 16)));
      const due = stored === undefined ? undefined : decodeDue(stored);
      if (due?.ok) yield { due: due.value, note: Buffer.from(value).toString() };
    }
  }

  /** Where the newest checkpoint was due whose height is no greater. */
  dueUpTo(height: number): DueRecord | undefined {
    const [start, end] = [stateKeys.due(0), stateKeys.due(2 ** 47)];
    for (const [, value] of this.#state.range({ start, end, reverse: true })) {
      const due = decodeDue(value);
      if (due.ok && due.value.height <= height) return due.value;
    }
    return undefined;
  }

  keepCheckpoint(size: number, note: string): void {
    this.#state.write([[stateKeys.checkpoint(size), Buffer.from(note)]]);
  }

  height(height: number): HeightRecord | undefined {
    const stored = this.#state.get(stateKeys.height(height));
    const record = stored === undefined ? undefined : decodeHeightRecord(stored);
    return record?.ok ? record.value : undefined;
  }

  /** Heights below `below`, newest first. */
  *heights(below: number): Generator<HeightRecord> {
    const range = { start: stateKeys.height(0), end: stateKeys.height(below), reverse: true };
    for (const [, value] of this.#state.range(range)) {
      const record = decodeHeightRecord(value);
      if (record.ok) yield record.value;
    }
  }

  outcome(id: Digest): OutcomeRecord | undefined {
    const stored = this.#state.get(stateKeys.update(id));
    const record = stored === undefined ? undefined : decodeOutcome(stored);
    return record?.ok ? record.value : undefined;
  }

  /** What is proven against a host. */
  conviction(key: PublicKey): ConvictionRecord | undefined {
    const stored = this.#state.get(stateKeys.conviction(key));
    const record = stored === undefined ? undefined : decodeConviction(stored);
    return record?.ok ? record.value : undefined;
  }

  /** True if a proof against the host counts: it is convicted, and nobody pardoned it. */
  isConvicted(key: PublicKey): boolean {
    return this.conviction(key)?.pardon === "";
  }

  *convictions(): Generator<readonly [PublicKey, ConvictionRecord]> {
    for (const [key, value] of this.#state.range({ start: "x/", end: "x0" })) {
      const record = decodeConviction(value);
      if (record.ok) yield [key.slice(2) as PublicKey, record.value];
    }
  }

  /** Proofs that the order has, by their ids, as they were ordered. */
  *evidence(): Generator<readonly [Digest, Uint8Array]> {
    for (const [key, value] of this.#state.range({ start: "e/", end: "e0" }))
      yield [key.slice(2) as Digest, value];
  }

  proofOfMisdeed(id: Digest): Uint8Array | undefined {
    return this.#state.get(stateKeys.evidence(id));
  }

  leaf(index: number): Uint8Array | undefined {
    return this.#state.get(stateKeys.leaf(index));
  }

  /** The hash of the complete subtree number `index` of 2^`level` leaves. Throws where it is not here. */
  get hashes(): HashReader {
    return (level, index) => {
      const hash = this.#state.get(stateKeys.hash(level, index));
      assert(hash !== undefined, `log hash ${level}/${index} is there`);
      return hash;
    };
  }

  /** Base64 hashes from a leaf to the root of the log of `size` leaves. */
  inclusion(leaf: number, size: number): readonly string[] {
    return inclusionProof(leaf, size, this.hashes).map(toBase64);
  }

  /** The certified checkpoint of exactly `size` leaves, as a note, if it is kept. */
  checkpoint(size: number): string | undefined {
    const note = this.#state.get(stateKeys.checkpoint(size));
    return note === undefined ? undefined : Buffer.from(note).toString();
  }

  /** What stands at `TREE/path` at a height, to be carried away. `undefined` if the height is not under the checkpoint. */
  pathProof(height: number, path: string, head: CertifiedHead): PathProof | undefined {
    const record = this.height(height);
    const leaf = record === undefined ? undefined : this.leaf(record.leaf);
    if (record === undefined || leaf === undefined || record.leaf >= head.due.size)
      return undefined;
    const { trees, policy } = record;
    return {
      path,
      leaf,
      leafIndex: record.leaf,
      hashes: inclusionProof(record.leaf, head.due.size, this.hashes),
      body: encodeStateBody({ height: Height(height), trees, policy }),
      nodes: nodesOnTheWay(this.nodes, trees, path.split("/")),
      note: head.note,
    };
  }

  /** What a client needs to trust a height: `undefined` if there is no such height under the checkpoint. */
  proof(height: number, head: CertifiedHead): HeadProof | undefined {
    const record = this.height(height);
    return record && this.#proofAt(record.leaf, record, head);
  }

  /** The same of the newest state under a checkpoint: every certified log ends with the leaf of its state. */
  newestProof(head: CertifiedHead): HeadProof | undefined {
    const record = this.height(head.due.height);
    return record && this.#proofAt(head.due.size - 1, record, head);
  }

  #proofAt(leafIndex: number, record: HeightRecord, head: CertifiedHead): HeadProof | undefined {
    const leaf = this.leaf(leafIndex);
    if (leaf === undefined || leafIndex >= head.due.size) return undefined;
    const { height, trees, policy, tsMs } = record;
    return {
      height,
      body: toBase64(encodeStateBody({ height, trees, policy })),
      tsMs,
      leafIndex,
      leaf: toBase64(leaf),
      proof: this.inclusion(leafIndex, head.due.size),
      checkpoint: head.note,
    };
  }

  get nodes(): NodeReader {
    return (root) => this.#state.get(stateKeys.node(root));
  }

  get directories(): DirectoryStore {
    return new DirectoryStore(this.nodes, () => undefined);
  }

  entry(record: PinnedTrees, tree: string, names: readonly string[]): Entry | undefined {
    return lookup(this.directories, record.trees, [tree, ...names]);
  }

  /** Order time, milliseconds, at which a path last changed as of `height`. */
  changedMs(tree: string, path: string, height: number): number | undefined {
    const hashed = hashedPath(tree, path);
    const start = stateKeys.history(hashed, 0);
    const range = { start, end: stateKeys.history(hashed, height + 1), reverse: true, limit: 1 };
    for (const [, value] of this.#state.range(range)) return readBigEndian(value);
    return undefined;
  }

  /** The commit that holds application message `index`, with the index of the first message in it. */
  /** One byte a client's record of a commit: 1 where it was ordered anew. */
  appended(commit: number): Uint8Array {
    return this.#state.get(stateKeys.appended(commit)) ?? new Uint8Array(0);
  }

  messageCommit(index: number): { readonly commit: number; readonly first: number } | undefined {
    const range = {
      start: stateKeys.messages(0),
      end: stateKeys.messages(index + 1),
      reverse: true,
      limit: 1,
    };
    for (const [key, value] of this.#state.range(range)) {
      return { commit: readBigEndian(value), first: Number.parseInt(key.slice(2), 16) };
    }
    return undefined;
  }
}
