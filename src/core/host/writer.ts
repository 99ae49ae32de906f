import {
  type CommitCertificate,
  DagAcceptance,
  type DagConfig,
  type DagEffect,
  type DagInput,
  type Ref,
  segmentOf,
  type VerifiedBlock,
} from "../acceptance/index.ts";
import {
  type Author,
  type Digest,
  type Fault,
  limits,
  MonotonicClock,
  Prng,
  unreachable,
} from "../base/index.ts";
import { dagConfigOf, type Evidence } from "../evidence/index.ts";
import { encodeHeld, type MirrorState, messageKinds } from "../mirror/index.ts";
import { Allowance } from "./allowance.ts";
import { AntiEntropy } from "./anti-entropy.ts";
import { CatchUp } from "./catch-up.ts";
import type { HostEffect, HostInput, WriterVitals } from "./effects.ts";
import { GapFiller } from "./gap-filler.ts";
import { helloOf } from "./hello.ts";
import { Intake, type Taken } from "./intake.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
import { type Peer, Peers } from "./peers.ts";
import { Replica, type ReplicaEffect } from "./replica.ts";
import { equivocationEvidence, Repute, type ReputeEffect } from "./repute.ts";
import { SafeReturn } from "./safe-return.ts";
import type { WriterOptions } from "./writer-options.ts";

/** Small questions that a peer may ask: each costs an answer, or a round. */
const questions = { everyMs: 50, atOnce: 32 };

/** A writer: acceptance, mirror, cosigning and what writers say to one another, as one synchronous machine. */
export class WriterHost {
  readonly #options: WriterOptions;
  readonly #config: DagConfig;
  readonly #dag: DagAcceptance;
  readonly #replica: Replica;
  readonly #gaps: GapFiller;
  readonly #time = new MonotonicClock();
  readonly #catchUp: CatchUp;
  readonly #antiEntropy = new AntiEntropy();
  readonly #safeReturn: SafeReturn;
  readonly #intake: Intake;
  readonly #peers = new Peers();
  readonly #questions = new Allowance<Author>(questions);
  /** From the start on: it needs to know what time it is. */
  #repute: Repute | undefined;
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
        maySign: recovery.maySign && recovery.guard.joined === undefined,
      },
    });
    this.#replica = new Replica(options);
    this.#gaps = new GapFiller(random);
    this.#catchUp = new CatchUp(random);
    this.#safeReturn = new SafeReturn(network.rule.parentQuorum, !recovery.maySign);
    this.#intake = new Intake({
      config: this.#config,
      verifier: options.verifier,
      dag: this.#dag,
      catchUp: this.#catchUp,
      gaps: this.#gaps,
    });
  }

  get state(): MirrorState {
    return this.#replica.state;
  }

  /** All `state` effects of the last steps are in the store. */
  stateWritten(): void {
    this.#replica.stateWritten();
  }

  get #hasLeft(): boolean {
    return (
      this.#repute?.splitting.hasLeft === true || this.#options.recovery.guard.joined !== undefined
    );
  }

  /** For status pages and metrics. */
  get vitals(): WriterVitals {
    const { waiting, graph, pendingBytes } = this.#dag.sizes;
    return {
      round: this.#dag.round,
      lastCommit: this.#dag.lastCommit.index,
      quorumCommit: this.#dag.endorsedIndex,
      isSigning: this.#dag.isSigning,
      isHeld: this.#dag.isHeld,
      returning: this.#safeReturn.isOpen ? this.#safeReturn.progress : undefined,
      pendingBytes,
      waitingBlocks: waiting,
      graphBlocks: graph,
      backlog: this.#replica.backlog,
      bounds: this.#bounds,
      peers: [...this.#peers.greeted],
      opinions: this.#repute?.views ?? [],
    };
  }

  get #bounds(): WriterVitals["bounds"] {
    const { fullness, votes } = this.#dag.sizes;
    const n = this.#config.keys.length;
    return {
      waitingRoom: { size: fullness, most: 1 },
      commitVotes: { size: votes, most: n * 2000 },
      namers: { size: this.#gaps.size, most: (n + 1) * 4 * limits.fetchRefsMax + n },
      proofs: {
        size: this.#repute?.proofs.found.length ?? 0,
        most: n * limits.evidencePerHostMax + (n + 1) * limits.strangerProofsMax,
      },
      plans: { size: this.#repute?.splitting.plans.length ?? 0, most: 4 * (n + 1) },
      backlogBytes: { size: this.#replica.backlogBytes, most: 2 * limits.commitBytesMax },
    };
  }

  /** What it thinks and can prove; from the start on. */
  get repute(): Repute | undefined {
    return this.#repute;
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
        this.#peers.up(input.peer, input.session);
        return this.#send(
          input.peer,
          helloOf(this.#dag, this.#config, { self: this.#options.author, peer: input.peer }),
        );
      case "peer-down":
        this.#peers.down(input.peer);
        this.#catchUp.forget(input.peer);
        this.#antiEntropy.forget(input.peer);
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
      case "batches":
        return this.#follow(this.#replica.acceptAgain(input.batches, nowMs));
      case "changes-here":
        return this.#follow(this.#replica.changesHere(nowMs));
      case "operator-says":
        return this.#repute?.say(input.about, input.opinion, this.#time.read(nowMs));
      case "evidence":
        return void this.#repute?.hear(input.wire, {
          teller: "self",
          atMs: this.#time.read(nowMs),
        });
      case "split-plan":
        return this.#onPlan(input.wire);
      case "split-join":
        return this.#repute?.splitting.join(input.plan);
      case "tick":
        return this.#accept({ type: "tick" }, nowMs);
    }
  }

  /** The checkpoint that a plan begins with may be news here. */
  #onPlan(wire: Uint8Array): void {
    const plan = this.#repute?.splitting.learn(wire);
    if (plan?.ok) this.#follow(this.#replica.onNote(plan.value.parent.note));
  }

  #start(nowMs: number): void {
    this.#isStarted = true;
    this.#repute = new Repute(this.#options, () => this.state, this.#time.read(nowMs));
    this.#follow(this.#replica.start(nowMs));
    this.#accept({ type: "start" }, nowMs);
  }

  #follow(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "cosigned")
        this.#broadcast({ type: "cosignature", ...effect.cosignature });
      else if (effect.type === "contradiction")
        this.#saw({ ...effect, kind: "contradicting-checkpoint", size: effect.first.size });
      else {
        if (effect.type === "mirror") this.#repute?.onOrdered(effect.event);
        this.#effects.push(effect);
      }
    }
  }

  #broadcast(message: PeerMessage): void {
    const links = this.#peers.greetedLinks;
    this.#effects.push({ type: "broadcast", links, frame: encodeMessage(message) });
  }

  #submitHeld(updates: readonly Digest[], nowMs: number): void {
    const segment = segmentOf(messageKinds.held, [encodeHeld(updates)]);
    this.#accept({ type: "submit", ticket: 0, segment }, nowMs);
  }

  // ── peers ──

  #reachableChanged(nowMs: number): void {
    const authors = this.#peers.greeted;
    this.#repute?.links(authors, this.#time.read(nowMs));
    this.#accept({ type: "reachable", authors }, nowMs);
  }

  #send(peer: Author, message: PeerMessage): void {
    const link = this.#peers.get(peer)?.link;
    if (link !== undefined)
      this.#effects.push({ type: "send", link, frame: encodeMessage(message) });
  }

  #fault(peer: Peer, code: string, detail = ""): void {
    this.#effects.push({ type: "dropped", code, peer: peer.author });
    if (!this.#peers.isTooMany(peer, code === "TOO_MANY_ITEMS" ? limits.peerFaultsMax + 1 : 1))
      return;
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
    this.#repute?.observe(author, { type: "heard" }, this.#time.read(nowMs));
    this.#onMessage(peer, message.value, nowMs);
  }

  #onMessage(peer: Peer, message: PeerMessage, nowMs: number): void {
    if (isQuestion(message) && !this.#questions.take(peer.author, this.#time.read(nowMs)))
      return void this.#effects.push({ type: "dropped", code: "TOO_OFTEN", peer: peer.author });
    switch (message.type) {
      case "hello":
        return this.#onHello(peer, message, nowMs);
      case "block":
        return this.#takeAll(peer, this.#intake.pushed(peer, message.wire), nowMs);
      case "fetch": {
        const { refs } = message;
        return void this.#effects.push({ type: "serve-blocks", link: peer.link, refs });
      }
      case "blocks":
        return this.#takeAll(peer, this.#intake.fetched(peer, message.wires), nowMs);
      case "nudge":
        return this.#accept({ type: "nudge" }, nowMs);
      case "seen":
        return this.#takeAll(peer, this.#intake.seen(message.refs), nowMs);
      case "inventory-wanted":
        if (!this.#antiEntropy.mayTell(peer.author, this.#time.read(nowMs))) return;
        return this.#send(peer.author, {
          type: "inventory",
          refs: this.#dag.inventory(message.fromRound),
        });
      case "inventory":
        if (!this.#antiEntropy.answered(peer.author)) return this.#fault(peer, "NOT_ASKED");
        return this.#accept({ type: "inventory", refs: message.refs, from: peer.author }, nowMs);
      case "sync": {
        const { after } = message;
        return void this.#effects.push({ type: "serve-range", link: peer.link, after });
      }
      case "range":
        return this.#takeAll(peer, this.#intake.range(peer, message.range), nowMs);
      case "cosignature":
        return this.#follow(this.#replica.onCosignature(peer.author, message));
      case "probe":
        return this.#send(peer.author, { type: "probed" });
      case "probed":
        return;
      case "opinion":
      case "evidence":
      case "split": {
        const heard = this.#repute?.hearFrom(peer.author, message, this.#time.read(nowMs));
        if (heard?.ok === false) this.#onUnheard(peer, heard.error);
        return;
      }
    }
  }

  /** No room for what it says is not the peer's fault: it may only pass on what others invented. */
  #onUnheard(peer: Peer, { code, detail }: Fault): void {
    if (code === "TOO_MANY_STRANGERS" || code === "TOO_MANY_PLANS")
      this.#effects.push({ type: "dropped", code, peer: peer.author });
    else this.#fault(peer, code, detail);
  }

  /** This host holds both halves of a misdeed. */
  #saw(evidence: Evidence): void {
    this.#repute?.saw(evidence, this.#time.latestMs);
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
    this.#repute?.greet(peer.author);
    this.#reachableChanged(nowMs);
  }

  /** Until this process has signed something, it may stand on an old copy of its disk. */
  #hold(nowMs: number): void {
    const isHeld = !this.#hasSigned && this.#catchUp.isFarBehind(this.#dag.lastCommit.index);
    if (isHeld !== this.#dag.isHeld) this.#accept({ type: "hold", isHeld }, nowMs);
  }

  /** Every hello answers the question "what have I signed?" (`dag.md` §12). */
  #learnOfSelf(peer: Peer, hello: Extract<PeerMessage, { type: "hello" }>, nowMs: number): void {
    const mine = this.#intake.refOf(hello.newestOfYou, this.#options.author);
    const theirs = this.#intake.refOf(hello.newestOfMe, peer.author);
    this.#safeReturn.claim(peer.author, { mine, theirs });
    if (mine === undefined || mine.round <= this.#dag.signedRound || this.#safeReturn.isOpen)
      return;
    this.#safeReturn.reopen();
    this.#accept({ type: "suspend" }, nowMs);
  }

  #takeAll(peer: Peer, taken: Iterable<Taken>, nowMs: number): void {
    for (const one of taken) {
      if (one.kind === "input") this.#accept(one.input, nowMs);
      else if (one.kind === "fault") this.#fault(peer, one.code, one.detail);
      else if (one.kind === "evidence") this.#saw(one.evidence);
      else if (one.kind === "seen") this.#broadcast({ type: "seen", refs: one.refs });
      else if (one.kind === "reply") this.#send(peer.author, { type: "blocks", wires: one.wires });
      else this.#effects.push({ type: "dropped", code: one.code, peer: peer.author });
    }
  }

  // ── what the parts want done ──

  #accept(input: DagInput, nowMs: number): void {
    for (const effect of this.#dag.step(input, nowMs)) this.#onDagEffect(effect, nowMs);
  }

  #onDagEffect(effect: DagEffect, nowMs: number): void {
    switch (effect.type) {
      case "persist-block": {
        // Only what was admitted is a sign of life: a block of a far round, or upon nothing, costs its author nothing.
        const { author, round } = effect.block.ref;
        this.#repute?.observe(author, { type: "block", round }, this.#time.read(nowMs));
        return void this.#effects.push(effect);
      }
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
        return this.#follow(this.#replica.accept(effect.batch, nowMs));
      case "equivocation":
        return this.#saw(equivocationEvidence(effect, this.#config));
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
    // Who has joined a group that splits off signs nothing of this one any more, whatever it learns of itself.
    const minRound = this.#hasLeft ? undefined : this.#safeReturn.resume(hasSeen);
    if (minRound !== undefined) this.#accept({ type: "resume", minRound }, nowMs);
    const paceMs = this.#time.read(nowMs);
    this.#fetch(paceMs);
    this.#sync(paceMs);
    this.#compare(paceMs);
    this.#hold(nowMs);
    this.#judge(nowMs);
    // Never while the disk may be an older copy: then what it has is not the newest that it saw.
    const mayVouch = !this.#safeReturn.isOpen && !this.#dag.isHeld && !this.#hasLeft;
    if (mayVouch) this.#follow(this.#replica.renew(nowMs));
    const certified: CommitCertificate | undefined = this.#dag.certified;
    if (certified === undefined || certified.index <= this.#certifiedIndex) return;
    this.#certifiedIndex = certified.index;
    this.#effects.push({ type: "certificate", certificate: certified });
  }

  /** What this host thinks of the others now, and what follows from it. */
  #judge(nowMs: number): void {
    const atMs = this.#time.read(nowMs);
    const { round, wantsRound: isWanted } = this.#dag;
    // Once this host has begun a round for payload, the others owe their blocks of it.
    const isBegun = isWanted && this.#dag.signedRound >= round;
    const around = {
      round: isBegun ? round + 1 : round,
      lastCommit: this.#dag.lastCommit.index,
      isWanted,
      reachable: this.#peers.greeted,
      certified: this.#replica.certified,
    };
    const effects = this.#repute?.look(around, atMs, nowMs) ?? [];
    for (const effect of effects) this.#onReputeEffect(effect, nowMs);
    this.#wakeAt(this.#repute?.wakeAtMs(atMs));
  }

  #onReputeEffect(effect: ReputeEffect, nowMs: number): void {
    switch (effect.type) {
      case "say":
        return this.#broadcast(effect.message);
      case "tell":
        return this.#send(effect.peer, effect.message);
      case "submit":
      case "standing":
        return this.#accept(effect, nowMs);
      case "guard-split":
        this.#effects.push(effect);
        // What this group still orders would be lost to the one that it leaves for: it neither orders nor vouches for it.
        this.#replica.leave();
        return this.#accept({ type: "suspend" }, nowMs);
      default:
        return void this.#effects.push(effect);
    }
  }

  #fetch(paceMs: number): void {
    if (this.#gaps.isDue(paceMs)) {
      const requests = this.#gaps.requests(this.#dag.missing(), this.#peers.greeted, paceMs);
      for (const { peer, refs } of requests) this.#send(peer, { type: "fetch", refs });
    }
    // Named at every step: the loop keeps the earliest wake-up only, and what it keeps may be another's.
    this.#wakeAt(this.#gaps.wakeAtMs(paceMs));
  }

  #sync(paceMs: number): void {
    const reachable = this.#peers.greeted;
    const lastIndex = this.#dag.lastCommit.index;
    const { endorsedIndex } = this.#dag;
    const peer = this.#catchUp.next({ lastIndex, endorsedIndex, reachable }, paceMs);
    if (peer !== undefined) this.#send(peer, { type: "sync", after: lastIndex });
    this.#wakeAt(this.#catchUp.wakeAtMs(paceMs));
  }

  /** Where nothing goes on, the others may have what is missing here by no name. */
  #compare(paceMs: number): void {
    const { lastCommit, wantsRound, sizes } = this.#dag;
    const isWanted = wantsRound || sizes.waiting > 0;
    const state = { lastCommit: lastCommit.index, isWanted, reachable: this.#peers.greeted };
    const peer = this.#antiEntropy.next(state, paceMs);
    const fromRound = this.#dag.decidedRound;
    if (peer !== undefined) this.#send(peer, { type: "inventory-wanted", fromRound });
    this.#wakeAt(this.#antiEntropy.wakeAtMs(paceMs));
  }

  #wakeAt(paceMs: number | undefined): void {
    if (paceMs !== undefined && Number.isFinite(paceMs))
      this.#effects.push({ type: "wake", atMs: this.#time.toCaller(paceMs) });
  }
}

/** What is short to say and is answered with more, or has all make a round. */
function isQuestion({ type }: PeerMessage): boolean {
  return type === "probe" || type === "nudge" || type === "seen" || type === "inventory-wanted";
}
