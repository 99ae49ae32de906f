import {
  type CommitCertificate,
  type DagAcceptance,
  type DagConfig,
  type DagEffect,
  type DagInput,
  type Ref,
  segmentOf,
  type VerifiedBlock,
} from "../acceptance/index.ts";
import { Allowance, type Author, MonotonicClock, Prng, unreachable } from "../base/index.ts";
import { dagConfigOf, type Evidence } from "../evidence/index.ts";
import { encodeHeld, type MirrorState, messageKinds } from "../mirror/index.ts";
import { Asking } from "./asking.ts";
import type { HostEffect, HostInput, WriterVitals } from "./effects.ts";
import { helloOf } from "./hello.ts";
import { Intake, type Taken } from "./intake.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
import { type Peer, Peers } from "./peers.ts";
import { Replica, type ReplicaEffect } from "./replica.ts";
import { equivocationEvidence, Repute, type ReputeEffect, type SaidOfHosts } from "./repute.ts";
import { SafeReturn } from "./safe-return.ts";
import { vitalsOf } from "./vitals.ts";
import { acceptanceOf, type WriterOptions } from "./writer-options.ts";

/** Small questions that a peer may ask: each costs an answer, or a round. */
const questions = { everyMs: 50, atOnce: 32 };
const questionTypes: ReadonlySet<string> = new Set(["probe", "nudge", "seen", "inventory-wanted"]);

/** A writer: acceptance, mirror, cosigning and what writers say to one another, as one synchronous machine. */
export class WriterHost {
  readonly #options: WriterOptions;
  readonly #config: DagConfig;
  readonly #dag: DagAcceptance;
  readonly #replica: Replica;
  readonly #time = new MonotonicClock();
  readonly #asking: Asking;
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
    const { network, recovery } = options;
    this.#options = options;
    this.#config = dagConfigOf(network);
    this.#dag = acceptanceOf(options);
    this.#replica = new Replica(options);
    this.#asking = new Asking(new Prng(options.seed));
    this.#safeReturn = new SafeReturn(network.rule.parentQuorum, !recovery.maySign);
    this.#intake = new Intake({
      config: this.#config,
      verifier: options.verifier,
      dag: this.#dag,
      catchUp: this.#asking.catchUp,
      gaps: this.#asking.gaps,
    });
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
    return vitalsOf({
      n: this.#config.keys.length,
      dag: this.#dag,
      replica: this.#replica,
      asking: this.#asking,
      safeReturn: this.#safeReturn,
      peers: this.#peers,
      repute: this.#repute,
    });
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
        return this.#greet(input.peer, input.session);
      case "peer-down":
        this.#peers.down(input.peer);
        this.#asking.forget(input.peer);
        return this.#reachableChanged(nowMs);
      case "message":
        return this.#onFrame(input.peer, input.frame, nowMs);
      case "submit":
        return this.#accept(
          { type: "submit", ticket: input.ticket, segment: input.segment },
          nowMs,
        );
      case "held":
        return this.#accept(
          {
            type: "submit",
            ticket: 0,
            segment: segmentOf(messageKinds.held, [encodeHeld(input.updates)]),
          },
          nowMs,
        );
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

  #greet(peer: Author, session: number): void {
    const hello = helloOf(this.#dag, this.#config, { self: this.#options.author, peer });
    this.#peers.up(peer, session, hello.fromRound);
    this.#send(peer, hello);
  }

  #fault(peer: Peer, code: string, detail = ""): void {
    this.#effects.push({ type: "dropped", code, peer: peer.author });
    if (!this.#peers.isTooMany(peer, code === "TOO_MANY_ITEMS", this.#time.latestMs)) return;
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
    if (
      questionTypes.has(message.type) &&
      !this.#questions.take(peer.author, this.#time.read(nowMs))
    )
      return void this.#effects.push({ type: "dropped", code: "TOO_OFTEN", peer: peer.author });
    switch (message.type) {
      case "hello":
        return this.#onHello(peer, message, nowMs);
      case "block":
        return this.#takeAll(peer, this.#intake.pushed(peer, message.wire), nowMs);
      case "fetch":
        return this.#serve({ type: "serve-blocks", link: peer.link, refs: message.refs });
      case "blocks":
        return this.#takeAll(peer, this.#intake.fetched(peer, message.wires), nowMs);
      case "nudge":
        return this.#accept({ type: "nudge" }, nowMs);
      case "seen":
        return this.#takeAll(peer, this.#intake.seen(message.refs), nowMs);
      case "inventory-wanted":
        return this.#tellInventory(peer, message.fromRound, nowMs);
      case "inventory":
        if (!this.#asking.antiEntropy.answered(peer.author)) return this.#fault(peer, "NOT_ASKED");
        return this.#accept({ type: "inventory", refs: message.refs, from: peer.author }, nowMs);
      case "sync":
        return this.#serve({ type: "serve-range", link: peer.link, after: message.after });
      case "range":
        return this.#takeAll(
          peer,
          this.#intake.range(peer, message.range, this.#time.read(nowMs)),
          nowMs,
        );
      case "cosignature":
        return this.#follow(this.#replica.onCosignature(peer.author, message));
      case "probe":
        return this.#send(peer.author, { type: "probed" });
      case "probed":
        return;
      case "opinion":
      case "evidence":
      case "split":
        return this.#hear(peer, message, nowMs);
    }
  }

  #serve(effect: Extract<HostEffect, { type: "serve-blocks" | "serve-range" }>): void {
    this.#effects.push(effect);
  }

  #tellInventory({ author }: Peer, fromRound: number, nowMs: number): void {
    if (this.#asking.antiEntropy.mayTell(author, this.#time.read(nowMs)))
      this.#send(author, { type: "inventory", refs: this.#dag.inventory(fromRound) });
  }

  /** No room for what it says is not the peer's fault: it may only pass on what others invented. */
  #hear(peer: Peer, message: SaidOfHosts, nowMs: number): void {
    const heard = this.#repute?.hearFrom(peer.author, message, this.#time.read(nowMs));
    if (heard === undefined || heard.ok) return;
    const { code, detail } = heard.error;
    if (code !== "TOO_MANY_STRANGERS" && code !== "TOO_MANY_PLANS")
      return this.#fault(peer, code, detail);
    this.#effects.push({ type: "dropped", code, peer: peer.author });
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
    this.#asking.gaps.lookAgain();
    this.#asking.catchUp.hint(peer.author, hello.lastCommit);
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
    const isHeld = !this.#hasSigned && this.#asking.catchUp.isFarBehind(this.#dag.lastCommit.index);
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
        return this.#asking.gaps.named(effect.refs, effect.from);
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
    const hasLeft = this.#repute?.splitting.hasLeft === true;
    const minRound = hasLeft ? undefined : this.#safeReturn.resume(hasSeen);
    if (minRound !== undefined) this.#accept({ type: "resume", minRound }, nowMs);
    const paceMs = this.#time.read(nowMs);
    this.#ask(paceMs);
    this.#hold(nowMs);
    this.#judge(nowMs);
    // Never while the disk may be an older copy: then what it has is not the newest that it saw.
    const mayVouch = !this.#safeReturn.isOpen && !this.#dag.isHeld && !hasLeft;
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

  #ask(paceMs: number): void {
    const { questions, wakesAtMs } = this.#asking.look(this.#dag, this.#peers.greeted, paceMs);
    for (const { peer, message } of questions) this.#send(peer, message);
    for (const atMs of wakesAtMs) this.#wakeAt(atMs);
  }

  #wakeAt(paceMs: number | undefined): void {
    if (paceMs !== undefined && Number.isFinite(paceMs))
      this.#effects.push({ type: "wake", atMs: this.#time.toCaller(paceMs) });
  }
}
