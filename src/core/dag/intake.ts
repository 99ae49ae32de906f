import { type Author, limits } from "../base/index.ts";
import type { Verifier } from "../crypto/index.ts";
import {
  claimedRef,
  type DagConfig,
  type InvalidBlock,
  type Ref,
  type SignedHeader,
  type VerifiedBlock,
  verifyBlock,
  verifySignedHeader,
} from "./block.ts";
import type { BlockSynchronizer } from "./block-synchronizer.ts";
import { type CommitRange, verifyCommitRange } from "./commit-range.ts";
import type { DagInput } from "./effects.ts";
import type { DagMachine } from "./machine.ts";
import { type DagMisbehaviour, equivocationOf, invalidBlockOf } from "./misbehaviour.ts";
import type { StateTransfer } from "./state-transfer.ts";

/** The blocks that a writer pushes over its link. */
export interface Stream {
  readonly author: Author;
  /** It said hello: it listens to this host's blocks. */
  isGreeted: boolean;
  lastPushedRound: number;
}

/** What becomes of what a peer sent. */
export type Taken =
  | { readonly kind: "input"; readonly input: DagInput }
  | { readonly kind: "fault"; readonly code: string; readonly detail: string }
  | { readonly kind: "misbehaviour"; readonly proof: DagMisbehaviour }
  | { readonly kind: "dropped"; readonly code: string }
  /** To all: these may have twins that are nowhere named. */
  | { readonly kind: "seen"; readonly refs: readonly Ref[] }
  | { readonly kind: "reply"; readonly wires: readonly Uint8Array[] };

const fault = (code: string, detail = ""): Taken => ({ kind: "fault", code, detail });

/** The edge of a writer: blocks and commits of any origin are verified here, and only then reach the machine. */
export class Intake {
  readonly #by: { readonly config: DagConfig; readonly verifier: Verifier };
  readonly #dag: DagMachine;
  readonly #stateTransfer: StateTransfer;
  readonly #gaps: BlockSynchronizer;

  constructor(parts: {
    readonly config: DagConfig;
    readonly verifier: Verifier;
    readonly dag: DagMachine;
    readonly stateTransfer: StateTransfer;
    readonly gaps: BlockSynchronizer;
  }) {
    this.#by = parts;
    this.#dag = parts.dag;
    this.#stateTransfer = parts.stateTransfer;
    this.#gaps = parts.gaps;
  }

  /** Which block of `author` a signed header is of; `undefined` if it is none of its. */
  refOf(signed: SignedHeader | undefined, author: Author): Ref | undefined {
    if (signed === undefined) return undefined;
    const verified = verifySignedHeader(signed, this.#by.config, this.#by.verifier);
    return verified.ok && verified.value.ref.author === author ? verified.value.ref : undefined;
  }

  /** A stream carries its sender's own blocks, each once, in order of rounds. */
  *pushed(stream: Stream, wire: Uint8Array): Generator<Taken> {
    const verified = verifyBlock(wire, this.#by.config, this.#by.verifier);
    if (!verified.ok) return yield* invalid(wire, verified.error);
    const block = verified.value;
    if (block.ref.author !== stream.author) return yield fault("NOT_OWN_BLOCK");
    const isRepeated = block.ref.round <= stream.lastPushedRound;
    stream.lastPushedRound = Math.max(stream.lastPushedRound, block.ref.round);
    if (isRepeated) yield fault("REPEATED_ROUND");
    yield { kind: "input", input: { type: "block", block, from: stream.author, how: "pushed" } };
    // An honest writer stands upon its own last block: one that passes it over may have shown others another one.
    const refs = this.#dag.blocks.passedOver(block).slice(0, limits.fetchRefsMax);
    if (refs.length === 0) return;
    this.#gaps.askedAll();
    yield { kind: "seen", refs };
  }

  /** A peer has blocks whose author passed them over: it is shown what else is known of these slots. */
  *seen(refs: readonly Ref[]): Generator<Taken> {
    const wires = refs.flatMap((ref) => this.#dag.blocks.rivalOf(ref)?.wire ?? []).slice(0, 1);
    if (wires.length > 0) yield { kind: "reply", wires };
  }

  /** An answer that was asked for; what is of no use costs a hash, and what is wrong ends it. */
  *fetched(peer: Author, wires: readonly Uint8Array[]): Generator<Taken> {
    if (!this.#gaps.takeOwed(peer)) return yield fault("NOT_ASKED");
    for (const wire of wires) {
      const claimed = claimedRef(wire);
      const isOfUse =
        claimed === undefined ||
        this.#dag.admission.isWanted(claimed) ||
        this.#dag.blocks.rivalOf(claimed) !== undefined;
      if (!isOfUse) {
        yield { kind: "dropped", code: "NOT_WANTED" };
        continue;
      }
      const verified = verifyBlock(wire, this.#by.config, this.#by.verifier);
      if (!verified.ok) return yield* invalid(wire, verified.error);
      if (!this.#dag.admission.isWanted(verified.value.ref)) yield this.#unwanted(verified.value);
      else
        yield {
          kind: "input",
          input: { type: "block", block: verified.value, from: peer, how: "fetched" },
        };
    }
  }

  /** Of no use but as one half of a proof. */
  #unwanted(block: VerifiedBlock): Taken {
    const rival = this.#dag.blocks.rivalOf(block.ref);
    if (rival === undefined) return { kind: "dropped", code: "NOT_WANTED" };
    const { author, round } = block.ref;
    const { epoch } = this.#by.config;
    const twins = { author, epoch, round, first: rival.signed, second: block.signed };
    return { kind: "misbehaviour", proof: equivocationOf(twins) };
  }

  *range(peer: Author, range: CommitRange, paceMs: number): Generator<Taken> {
    if (!this.#stateTransfer.takeOwed(peer)) return yield fault("NOT_ASKED");
    const last = this.#dag.lastCommit;
    const commits = range.commits.filter(({ commit }) => commit.index > last.index);
    // Nothing there, or the order went on while the answer was on its way.
    if (commits.length === 0) return this.#stateTransfer.answered(peer, last.index);
    const verified = verifyCommitRange({ ...range, commits }, last, this.#by);
    if (!verified.ok) {
      this.#stateTransfer.answered(peer, last.index);
      return yield fault(verified.error.code, verified.error.detail);
    }
    // Tips that were dropped while this host was behind are asked for now.
    this.#gaps.lookAgain();
    yield { kind: "input", input: { type: "certified", ...verified.value } };
    this.#stateTransfer.answered(peer, this.#dag.lastCommit.index, paceMs);
  }
}

function* invalid(wire: Uint8Array, error: InvalidBlock): Generator<Taken> {
  const proof = invalidBlockOf(wire, error);
  if (proof !== undefined) yield { kind: "misbehaviour", proof };
  yield fault(error.code, error.detail);
}
