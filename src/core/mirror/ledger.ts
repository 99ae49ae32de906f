import { type Author, assert, Height } from "../base/index.ts";
import { append, rootOf } from "../crypto/index.ts";
import type { MirrorEvent, MirrorView } from "./execution.ts";
import { stateKeys } from "./keys.ts";
import { encodeLeaf, type LogLeaf, stateBodyOf, stateDigest } from "./leaves.ts";
import { policyDigest } from "./policy.ts";
import { type DueRecord, encodeDue, encodeHeightRecord, type HeightRecord } from "./records.ts";
import type { MirrorState } from "./state.ts";

/** Order time between two checkpoints when only application messages flow. */
const checkpointEveryMs = 1000;

/** What one batch has made so far: the state, what is to be written, and the log; all of it happens or nothing. */
export class Ledger {
  readonly writes: Map<string, Uint8Array | undefined> = new Map();
  readonly events: MirrorEvent[] = [];
  readonly #view: MirrorView;
  /** Kind of the last leaf that this batch appended. */
  #lastLeaf: LogLeaf["kind"] | undefined;
  state: MirrorState;

  constructor(state: MirrorState, view: MirrorView) {
    this.state = state;
    this.#view = view;
  }

  get(key: string): Uint8Array | undefined {
    return this.writes.has(key) ? this.writes.get(key) : this.#view.get(key);
  }

  append(leaf: LogLeaf): number {
    this.#lastLeaf = leaf.kind;
    const index = this.state.log.size;
    const bytes = encodeLeaf(leaf);
    const { frontier, stored } = append(this.state.log, bytes);
    assert(frontier.size === index + 1, "a leaf makes the log one longer");
    this.writes.set(stateKeys.leaf(index), bytes);
    for (const { level, index: place, hash } of stored)
      this.writes.set(stateKeys.hash(level, place), hash);
    this.state = { ...this.state, log: frontier };
    return index;
  }

  ignore(code: string, author: Author): void {
    this.events.push({ type: "ignored", code, author });
  }

  /** One height more: the state after this change has its own root, and its leaf in the log. */
  rise(by: Pick<HeightRecord, "by" | "tree" | "changes" | "changesBytes">): void {
    const { tsMs, trees, policy } = this.state;
    const height = Height(this.state.height + 1);
    this.state = { ...this.state, height };
    const leaf = this.#appendState();
    const record: HeightRecord = { height, trees, policy: policyDigest(policy), tsMs, leaf, ...by };
    this.writes.set(stateKeys.height(height), encodeHeightRecord(record));
    this.events.push({ type: "height", record });
  }

  #appendState(): number {
    const { height, trees, policy, tsMs } = this.state;
    const state = stateDigest(stateBodyOf(height, trees, policy));
    return this.append({ kind: "state", height, state, tsMs });
  }

  /** Due at sizes that every host agrees on, so that cosignatures meet (`dag.md` §13). */
  checkpoint(): void {
    const finished = this.events.some(({ type }) => type === "finished" || type === "convicted");
    const { tsMs, checkpointMs } = this.state;
    if (!finished && tsMs < checkpointMs + checkpointEveryMs) return;
    // What is certified ends with the state: whoever is shown an older one for the newest can tell.
    if (this.#lastLeaf !== "state") this.#appendState();
    const due: DueRecord = {
      size: this.state.log.size,
      root: rootOf(this.state.log),
      height: this.state.height,
      commit: this.state.commit.index,
    };
    this.state = { ...this.state, checkpointMs: tsMs };
    this.writes.set(stateKeys.due(due.size), encodeDue(due));
    this.events.push({ type: "checkpoint-due", due });
  }
}
