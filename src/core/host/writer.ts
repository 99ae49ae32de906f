import {
  type CommitCertificate,
  DagAcceptance,
  type DagConfig,
  type DagEffect,
  type DagInput,
  type InvalidBlock,
  type Pacing,
  type Ref,
  type SignedHeader,
  segmentOf,
  type VerifiedBlock,
  verifyBlock,
  verifyCommitRange,
  verifySignedHeader,
} from "../acceptance/index.ts";
import {
  type Author,
  type Digest,
  type LinkName,
  limits,
  MonotonicClock,
  Prng,
  unreachable,
} from "../base/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import type { Network } from "../membership/index.ts";
import { encodeHeld, type MirrorState, type MirrorView, messageKinds } from "../mirror/index.ts";
import { CatchUp } from "./catch-up.ts";
import type { HostEffect, HostInput, WriterVitals } from "./effects.ts";
import { GapFiller } from "./gap-filler.ts";
import { helloOf } from "./hello.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
import { dagConfigOf } from "./network-config.ts";
import type { HostRecovery } from "./recovery.ts";
import { Replica, type ReplicaEffect } from "./replica.ts";
import { SafeReturn } from "./safe-return.ts";

export interface WriterOptions {
  readonly network: Network;
  readonly author: Author;
  readonly blockSigner: Signer;
  readonly cosignSigner: Signer;
  readonly verifier: Verifier;
  readonly view: MirrorView;
  readonly pacing: Pacing;
  readonly recovery: HostRecovery;
  /** For choosing whom to ask; of no influence on safety. */
  readonly seed: number;
}

interface Peer {
  readonly author: Author;
  readonly link: LinkName;
  /** It said hello: it listens to this host's blocks. */
  greeted: boolean;
  lastPushedRound: number;
  faults: number;
}

/** A writer: acceptance, mirror, cosigning and what writers say to one another, as one synchronous machine. */
export class WriterHost {
  readonly #options: WriterOptions;
  readonly #config: DagConfig;
  readonly #dag: DagAcceptance;
  readonly #replica: Replica;
  readonly #gaps: GapFiller;
  readonly #time = new MonotonicClock();
  readonly #catchUp: CatchUp;
  readonly #safeReturn: SafeReturn;
  readonly #peers = new Map<Author, Peer>();
  #certifiedIndex = 0;
  #isStarted = false;
  #hasSigned = false;
  #effects: HostEffect[] = [];

  constructor(options: WriterOptions) {
    const { network, recovery, author } = options;
    const random = new Prng(options.seed);
    this.#options = options;
    this.#config = dagConfigOf(network);
    this.#dag = new DagAcceptance({
      config: this.#config,
      pacing: options.pacing,
      signer: { author, sign: (message) => options.blockSigner.sign(message) },
      recovery: {
        blocks: recovery.blocks,
        commits: recovery.commits.map(({ commit }) => commit),
        signedRound: recovery.guard.round,
        maySign: recovery.maySign,
      },
    });
    this.#replica = new Replica(options);
    this.#gaps = new GapFiller(random);
    this.#catchUp = new CatchUp(random);
    this.#safeReturn = new SafeReturn(network.rule.parentQuorum, !recovery.maySign);
  }

  get state(): MirrorState {
    return this.#replica.state;
  }

  /** All `state` effects of the last steps are in the store. */
  stateWritten(): void {
    this.#replica.stateWritten();
  }

  /** For status pages and metrics. */
  get vitals(): WriterVitals {
    const { waiting, graph, pendingBytes } = this.#dag.sizes;
    return {
      round: this.#dag.round,
      lastCommit: this.#dag.lastCommit.index,
      quorumCommit: this.#dag.quorumIndex,
      isSigning: this.#dag.isSigning,
      isHeld: this.#dag.isHeld,
      returning: this.#safeReturn.isOpen ? this.#safeReturn.progress : undefined,
      pendingBytes,
      waitingBlocks: waiting,
      graphBlocks: graph,
      backlog: this.#replica.backlog,
      peers: [...this.#reachable()],
    };
  }

  /** A block that is still in memory. */
  block(ref: Ref): VerifiedBlock | undefined {
    return this.#dag.block(ref);
  }

  /** Rounds at or below are needed no more after a restart. */
  get horizon(): number {
    return this.#dag.horizon;
  }

  /** Whatever comes first, what the log has and the state has not is executed before it. */
  step(input: HostInput, nowMs: number): readonly HostEffect[] {
    this.#effects = [];
    if (!this.#isStarted) this.#start(nowMs);
    this.#take(input, nowMs);
    this.#afterwards(nowMs);
    return this.#effects;
  }

  #take(input: HostInput, nowMs: number): void {
    switch (input.type) {
      case "start":
        return;
      case "peer-up":
        this.#peers.set(input.peer, {
          author: input.peer,
          link: { peer: input.peer, session: input.session },
          greeted: false,
          lastPushedRound: 0,
          faults: 0,
        });
        return this.#send(
          input.peer,
          helloOf(this.#dag, this.#config, { self: this.#options.author, peer: input.peer }),
        );
      case "peer-down":
        this.#peers.delete(input.peer);
        this.#catchUp.forget(input.peer);
        return this.#reachableChanged(nowMs);
      case "message":
        return this.#onFrame(input.peer, input.frame, nowMs);
      case "submit":
        return this.#accept(
          { type: "submit", ticket: input.ticket, segment: input.segment },
          nowMs,
        );
      case "held":
        return this.#submitHeld(input.updates, nowMs);
      case "changes-here":
        return this.#follow(this.#replica.changesHere(nowMs));
      case "tick":
        return this.#accept({ type: "tick" }, nowMs);
    }
  }

  #start(nowMs: number): void {
    this.#isStarted = true;
    this.#follow(this.#replica.start(nowMs));
    this.#accept({ type: "start" }, nowMs);
  }

  #follow(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "cosigned")
        this.#broadcast({ type: "cosignature", ...effect.cosignature });
      else this.#effects.push(effect);
    }
  }

  /** Only to those that said hello: what they had not seen before stands in the stream already. */
  #broadcast(message: PeerMessage): void {
    const links: LinkName[] = [];
    for (const { greeted, link } of this.#peers.values()) if (greeted) links.push(link);
    this.#effects.push({ type: "broadcast", links, frame: encodeMessage(message) });
  }

  #submitHeld(updates: readonly Digest[], nowMs: number): void {
    const segment = segmentOf(messageKinds.held, [encodeHeld(updates)]);
    this.#accept({ type: "submit", ticket: 0, segment }, nowMs);
  }

  // ── peers ──

  #reachable(): Set<Author> {
    const authors = new Set<Author>();
    for (const { greeted, author } of this.#peers.values()) if (greeted) authors.add(author);
    return authors;
  }

  #reachableChanged(nowMs: number): void {
    this.#accept({ type: "reachable", authors: this.#reachable() }, nowMs);
  }

  #send(peer: Author, message: PeerMessage): void {
    const link = this.#peers.get(peer)?.link;
    if (link !== undefined)
      this.#effects.push({ type: "send", link, frame: encodeMessage(message) });
  }

  #fault(peer: Peer, code: string, detail = ""): void {
    this.#effects.push({ type: "dropped", code, peer: peer.author });
    peer.faults += code === "TOO_MANY_ITEMS" ? limits.peerFaultsMax + 1 : 1;
    if (peer.faults <= limits.peerFaultsMax) return;
    // What it has said already is not heard any more.
    this.#peers.delete(peer.author);
    this.#effects.push({
      type: "disconnect",
      peer: peer.author,
      code: detail === "" ? code : `${code}: ${detail}`,
    });
  }

  #onFrame(author: Author, frame: Uint8Array, nowMs: number): void {
    const peer = this.#peers.get(author);
    if (peer === undefined) return;
    const message = decodeMessage(frame);
    if (!message.ok) return this.#fault(peer, message.error.code, message.error.detail);
    if (!peer.greeted && message.value.type !== "hello") return this.#fault(peer, "NO_HELLO");
    this.#onMessage(peer, message.value, nowMs);
  }

  #onMessage(peer: Peer, message: PeerMessage, nowMs: number): void {
    switch (message.type) {
      case "hello":
        return this.#onHello(peer, message, nowMs);
      case "block":
        return this.#onBlock(peer, message.wire, nowMs);
      case "fetch": {
        const { refs } = message;
        return void this.#effects.push({ type: "serve-blocks", link: peer.link, refs });
      }
      case "blocks":
        return this.#onFetched(peer, message.wires, nowMs);
      case "nudge":
        return this.#accept({ type: "nudge" }, nowMs);
      case "sync": {
        const { after } = message;
        return void this.#effects.push({ type: "serve-range", link: peer.link, after });
      }
      case "range":
        return this.#onRange(peer, message, nowMs);
      case "cosignature":
        return this.#follow(this.#replica.onCosignature(peer.author, message));
    }
  }

  #onHello(peer: Peer, hello: Extract<PeerMessage, { type: "hello" }>, nowMs: number): void {
    if (hello.group !== this.#config.group || hello.epoch !== this.#config.epoch) {
      return void this.#effects.push({
        type: "disconnect",
        peer: peer.author,
        code: "WRONG_GROUP",
      });
    }
    if (peer.greeted) return this.#fault(peer, "SECOND_HELLO");
    peer.greeted = true;
    this.#gaps.lookAgain();
    this.#catchUp.hint(peer.author, hello.lastCommit);
    this.#hold(nowMs);
    this.#learnOfSelf(peer, hello, nowMs);
    for (const block of this.#dag.ownBlocksAbove(hello.fromRound)) {
      this.#send(peer.author, { type: "block", wire: block.wire });
    }
    const { cosignature } = this.#replica;
    if (cosignature !== undefined) this.#send(peer.author, { type: "cosignature", ...cosignature });
    this.#reachableChanged(nowMs);
  }

  /** Until this process has signed something, it may stand on an old copy of its disk. */
  #hold(nowMs: number): void {
    const isHeld = !this.#hasSigned && this.#catchUp.isFarBehind(this.#dag.lastCommit.index);
    if (isHeld !== this.#dag.isHeld) this.#accept({ type: "hold", isHeld }, nowMs);
  }

  /** Every hello answers the question "what have I signed?" (`dag.md` §12). */
  #learnOfSelf(peer: Peer, hello: Extract<PeerMessage, { type: "hello" }>, nowMs: number): void {
    const mine = this.#verified(hello.newestOfYou, this.#options.author);
    const theirs = this.#verified(hello.newestOfMe, peer.author);
    this.#safeReturn.claim(peer.author, { mine, theirs });
    if (mine === undefined || mine.round <= this.#dag.signedRound || this.#safeReturn.isOpen)
      return;
    this.#safeReturn.reopen();
    this.#accept({ type: "suspend" }, nowMs);
  }

  #verified(signed: SignedHeader | undefined, author: Author): Ref | undefined {
    if (signed === undefined) return undefined;
    const verified = verifySignedHeader(signed, this.#config, this.#options.verifier);
    return verified.ok && verified.value.ref.author === author ? verified.value.ref : undefined;
  }

  #onBlock(peer: Peer, wire: Uint8Array, nowMs: number): void {
    const verified = verifyBlock(wire, this.#config, this.#options.verifier);
    if (!verified.ok) return this.#onInvalidBlock(peer, wire, verified.error);
    const block = verified.value;
    // A stream carries its sender's own blocks, each once, in order of rounds.
    if (block.ref.author !== peer.author) return this.#fault(peer, "NOT_OWN_BLOCK");
    const isRepeated = block.ref.round <= peer.lastPushedRound;
    peer.lastPushedRound = Math.max(peer.lastPushedRound, block.ref.round);
    if (isRepeated) this.#fault(peer, "REPEATED_ROUND");
    this.#accept({ type: "block", block, from: peer.author, how: "pushed" }, nowMs);
  }

  #onInvalidBlock(peer: Peer, wire: Uint8Array, error: InvalidBlock): void {
    if (error.by === "author") {
      const { author, detail } = error;
      this.#effects.push({
        type: "evidence",
        evidence: { kind: "invalid-block", author, wire, detail },
      });
    }
    this.#fault(peer, error.code, error.detail);
  }

  #onFetched(peer: Peer, wires: readonly Uint8Array[], nowMs: number): void {
    for (const wire of wires) {
      const verified = verifyBlock(wire, this.#config, this.#options.verifier);
      if (!verified.ok) this.#onInvalidBlock(peer, wire, verified.error);
      else if (this.#dag.isWanted(verified.value.ref)) {
        this.#accept(
          { type: "block", block: verified.value, from: peer.author, how: "fetched" },
          nowMs,
        );
      } else this.#effects.push({ type: "dropped", code: "NOT_WANTED", peer: peer.author });
    }
  }

  #onRange(peer: Peer, { range }: Extract<PeerMessage, { type: "range" }>, nowMs: number): void {
    if (!this.#catchUp.answered(peer.author)) return this.#fault(peer, "NOT_ASKED");
    if (range.commits.length === 0) return this.#catchUp.disappointed(peer.author);
    const last = this.#dag.lastCommit;
    const next = {
      ...range,
      commits: range.commits.filter(({ commit }) => commit.index > last.index),
    };
    // The order went on while the answer was on its way.
    if (next.commits.length === 0) return;
    const verified = verifyCommitRange(next, last, {
      config: this.#config,
      verifier: this.#options.verifier,
    });
    if (!verified.ok) {
      this.#catchUp.disappointed(peer.author);
      return this.#fault(peer, verified.error.code, verified.error.detail);
    }
    // Tips that were dropped while this host was behind are asked for now.
    this.#gaps.lookAgain();
    this.#accept({ type: "certified", commits: verified.value, voters: range.voters }, nowMs);
  }

  // ── what the parts want done ──

  #accept(input: DagInput, nowMs: number): void {
    for (const effect of this.#dag.step(input, nowMs)) this.#onDagEffect(effect, nowMs);
  }

  #onDagEffect(effect: DagEffect, nowMs: number): void {
    switch (effect.type) {
      case "persist-block":
      case "persist-commit":
      case "violation":
      case "wake":
        return void this.#effects.push(effect);
      case "guard":
        this.#hasSigned = true;
        return void this.#effects.push({ type: "guard-round", round: effect.round });
      case "broadcast":
        return this.#broadcast({ type: "block", wire: effect.block.wire });
      case "missing":
        return this.#gaps.named(effect.refs, effect.from);
      case "accept":
        this.#effects.push({ type: "accepted", batch: effect.batch });
        return this.#follow(this.#replica.accept(effect.batch, nowMs));
      case "equivocation": {
        const { author, first, second } = effect;
        return void this.#effects.push({
          type: "evidence",
          evidence: { kind: "equivocation", author, first, second },
        });
      }
      case "dropped":
        return void this.#effects.push({ type: "dropped", code: effect.code, peer: effect.from });
      case "needs-round":
        return this.#broadcast({ type: "nudge" });
      case "amnesia":
        return this.#safeReturn.reopen();
      default:
        return unreachable(effect);
    }
  }

  // ── after every input: what is missing, how far behind, may it sign again ──

  #afterwards(nowMs: number): void {
    const hasSeen = (ref: Ref): boolean =>
      ref.round <= this.#dag.horizon || this.#dag.block(ref) !== undefined;
    const minRound = this.#safeReturn.resume(hasSeen);
    if (minRound !== undefined) this.#accept({ type: "resume", minRound }, nowMs);
    const paceMs = this.#time.read(nowMs);
    this.#fetch(paceMs);
    this.#sync(paceMs);
    this.#hold(nowMs);
    const certified: CommitCertificate | undefined = this.#dag.certified;
    if (certified === undefined || certified.index <= this.#certifiedIndex) return;
    this.#certifiedIndex = certified.index;
    this.#effects.push({ type: "certificate", certificate: certified });
  }

  #fetch(paceMs: number): void {
    if (this.#gaps.isDue(paceMs)) {
      const requests = this.#gaps.requests(this.#dag.missing(), this.#reachable(), paceMs);
      for (const { peer, refs } of requests) this.#send(peer, { type: "fetch", refs });
    }
    // Named at every step: the loop keeps the earliest wake-up only, and what it keeps may be another's.
    this.#wakeAt(this.#gaps.wakeAtMs(paceMs));
  }

  #sync(paceMs: number): void {
    const reachable = this.#reachable();
    const lastIndex = this.#dag.lastCommit.index;
    const { quorumIndex } = this.#dag;
    const peer = this.#catchUp.next({ lastIndex, quorumIndex, reachable }, paceMs);
    if (peer !== undefined) this.#send(peer, { type: "sync", after: lastIndex });
    this.#wakeAt(this.#catchUp.wakeAtMs(paceMs));
  }

  #wakeAt(paceMs: number | undefined): void {
    if (paceMs !== undefined)
      this.#effects.push({ type: "wake", atMs: this.#time.toCaller(paceMs) });
  }
}
