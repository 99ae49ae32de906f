import type { Evidence } from "../accountability/index.ts";
import { Allowance, type Author, MonotonicClock, StepBuilder, unreachable } from "../base/index.ts";
import {
  type Consensus,
  type ConsensusEffect,
  type ConsensusInput,
  type ConsensusStep,
  type RecordName,
  segmentOf,
} from "../consensus/index.ts";
import { encodeHeld, type MirrorState, messageKinds } from "../mirror/index.ts";
import { Accountability, type AccountabilityEffect, type SaidOfHosts } from "./accountability.ts";
import type { HostEffect, HostInput, HostRecord, HostStep, WriterVitals } from "./effects.ts";
import { decodeHostMessage, encodeHostMessage, type HostMessage } from "./messages.ts";
import { type Peer, Peers } from "./peers.ts";
import { Replica, type ReplicaEffect } from "./replica.ts";
import { vitalsOf } from "./vitals.ts";
import { consensusOf, type WriterOptions } from "./writer-options.ts";

/** How often a peer may ask whether this host is there. */
const probes = { everyMs: 100, atOnce: 16 };

/** A writer: consensus, mirror, cosigning and what writers say to one another, as one synchronous machine. */
export class WriterHost {
  readonly #options: WriterOptions;
  readonly #consensus: Consensus;
  readonly #replica: Replica;
  readonly #time = new MonotonicClock();
  readonly #peers = new Peers();
  readonly #probes = new Allowance<Author>(probes);
  /** From the start on: it needs to know what time it is. */
  #accountability: Accountability | undefined;
  #isStarted = false;
  /** Of the step that is being taken. */
  #nowMs = 0;
  #made = new StepBuilder<HostRecord, HostEffect>();

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#consensus = consensusOf(options);
    this.#replica = new Replica(options);
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
    return vitalsOf(this.#consensus.vitals, {
      n: this.#options.network.writers.length,
      replica: this.#replica,
      peers: this.#peers,
      accountability: this.#accountability,
    });
  }

  /** What it thinks and can prove; from the start on. */
  get accountability(): Accountability | undefined {
    return this.#accountability;
  }

  /** A record of the log that is still in memory. */
  recent(name: RecordName): Uint8Array | undefined {
    return this.#consensus.recent(name);
  }

  /** Records of places at or below are needed no more after a restart. */
  get horizon(): number {
    return this.#consensus.horizon;
  }

  /** Whatever comes first, what the log has and the state has not is executed before it. */
  step(input: HostInput, nowMs: number): HostStep {
    this.#made = new StepBuilder();
    this.#nowMs = nowMs;
    if (!this.#isStarted) this.#start(nowMs);
    this.#take(input, nowMs);
    this.#afterwards(nowMs);
    return this.#made;
  }

  #take(input: HostInput, nowMs: number): void {
    switch (input.type) {
      case "start":
        return;
      case "peer-up":
        this.#peers.up(input.peer, input.session);
        return this.#stepConsensus({ type: "peer-up", peer: input.peer }, nowMs);
      case "peer-down":
        this.#peers.down(input.peer);
        this.#stepConsensus({ type: "peer-down", peer: input.peer }, nowMs);
        return this.#reachableChanged(nowMs);
      case "message":
        return this.#onFrame(input.peer, input.frame, nowMs);
      case "submit":
      case "tick":
        return this.#stepConsensus(input, nowMs);
      case "held": {
        const segment = segmentOf(messageKinds.held, [encodeHeld(input.updates)]);
        return this.#stepConsensus({ type: "submit", ticket: 0, segment }, nowMs);
      }
      case "batches":
        return this.#follow(this.#replica.acceptAgain(input.batches, nowMs));
      case "changes-here":
        return this.#follow(this.#replica.changesHere(nowMs));
      case "operator-says":
        return this.#accountability?.say(input.about, input.opinion, this.#time.read(nowMs));
      case "evidence":
        return void this.#accountability?.hear(input.wire, {
          teller: "self",
          atMs: this.#time.read(nowMs),
        });
      case "split-plan":
        return this.#onPlan(input.wire);
      case "split-join":
        return this.#accountability?.splitting.join(input.plan);
      case "sign-opinions":
        return this.#accountability?.signOpinions(nowMs);
      case "propose-split":
        return this.#accountability?.propose(input, nowMs);
    }
  }

  /** The checkpoint that a plan begins with may be news here. */
  #onPlan(wire: Uint8Array): void {
    const plan = this.#accountability?.splitting.learn(wire);
    if (plan?.ok) this.#follow(this.#replica.onNote(plan.value.parent.note));
  }

  #start(nowMs: number): void {
    this.#isStarted = true;
    this.#accountability = new Accountability(
      this.#options,
      () => this.state,
      this.#time.read(nowMs),
    );
    this.#follow(this.#replica.start(nowMs));
    this.#stepConsensus({ type: "start" }, nowMs);
  }

  #follow(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "cosigned")
        this.#broadcast({ type: "cosignature", ...effect.cosignature });
      else if (effect.type === "contradiction")
        this.#saw({ ...effect, kind: "contradicting-checkpoint", size: effect.first.size });
      else if (effect.type === "guard-checkpoint") this.#made.records.push(effect);
      else {
        if (effect.type === "mirror") this.#accountability?.onOrdered(effect.event);
        this.#made.effects.push(effect);
      }
    }
  }

  // ── peers ──

  #broadcast(message: HostMessage): void {
    this.#broadcastFrame(encodeHostMessage(message));
  }

  #broadcastFrame(frame: Uint8Array): void {
    this.#made.effects.push({ type: "broadcast", links: this.#peers.greetedLinks, frame });
  }

  #send(peer: Author, message: HostMessage): void {
    this.#sendFrame(peer, encodeHostMessage(message));
  }

  #sendFrame(peer: Author, frame: Uint8Array): void {
    const link = this.#peers.get(peer)?.link;
    if (link !== undefined) this.#made.effects.push({ type: "send", link, frame });
  }

  #reachableChanged(nowMs: number): void {
    const authors = this.#peers.greeted;
    this.#accountability?.links(authors, this.#time.read(nowMs));
    this.#stepConsensus({ type: "reachable", authors }, nowMs);
  }

  /** The last cosignature, proofs and opinions: what a peer may have missed. */
  #welcome(author: Author, nowMs: number): void {
    const peer = this.#peers.get(author);
    if (peer === undefined) return;
    peer.greeted = true;
    const { cosignature } = this.#replica;
    if (cosignature !== undefined) this.#send(author, { type: "cosignature", ...cosignature });
    this.#accountability?.greet(author);
    this.#reachableChanged(nowMs);
  }

  #fault(author: Author, code: string, detail = ""): void {
    this.#made.effects.push({ type: "dropped", code, peer: author });
    const peer = this.#peers.get(author);
    if (peer === undefined) return;
    const { latestMs } = this.#time;
    if (!this.#peers.countFault(peer, code === "TOO_MANY_ITEMS", latestMs)) return;
    const reason = detail === "" ? code : `${code}: ${detail}`;
    this.#made.effects.push({ type: "disconnect", peer: author, code: reason });
    this.#stepConsensus({ type: "peer-refused", peer: author }, this.#nowMs);
  }

  #onFrame(author: Author, frame: Uint8Array, nowMs: number): void {
    const peer = this.#peers.get(author);
    if (peer === undefined) return;
    const atMs = this.#time.read(nowMs);
    if (this.#consensus.isMessage(frame))
      return this.#stepConsensus({ type: "message", peer: author, frame }, nowMs);
    const message = decodeHostMessage(frame);
    if (!message.ok) return this.#fault(author, message.error.code, message.error.detail);
    if (!peer.greeted) return this.#fault(author, "NO_HELLO");
    this.#accountability?.observe(author, { type: "heard" }, atMs);
    this.#onMessage(peer, message.value, atMs);
  }

  #onMessage({ author }: Peer, message: HostMessage, atMs: number): void {
    switch (message.type) {
      case "cosignature":
        return this.#follow(this.#replica.onCosignature(author, message));
      case "probe":
        if (this.#probes.take(author, atMs)) return this.#send(author, { type: "probed" });
        return void this.#made.effects.push({ type: "dropped", code: "TOO_OFTEN", peer: author });
      case "probed":
        return;
      case "opinion":
      case "evidence":
      case "split":
        return this.#hear(author, message, atMs);
      default:
        return unreachable(message);
    }
  }

  /** No room for what it says is not the peer's fault: it may only pass on what others invented. */
  #hear(author: Author, message: SaidOfHosts, atMs: number): void {
    const heard = this.#accountability?.hearFrom(author, message, atMs);
    if (heard === undefined || heard.ok) return;
    const { code, detail } = heard.error;
    if (code !== "TOO_MANY_STRANGERS" && code !== "TOO_MANY_PLANS")
      return this.#fault(author, code, detail);
    this.#made.effects.push({ type: "dropped", code, peer: author });
  }

  /** This host holds both halves of a misdeed. */
  #saw(evidence: Evidence): void {
    this.#accountability?.saw(evidence, this.#time.latestMs);
  }

  // ── what the parts want done ──

  #stepConsensus(input: ConsensusInput, nowMs: number): void {
    this.#time.read(nowMs);
    this.#onConsensusStep(this.#consensus.step(input, nowMs), nowMs);
  }

  #onConsensusStep({ records, effects }: ConsensusStep, nowMs: number): void {
    for (const record of records) this.#made.records.push(record);
    for (const effect of effects) this.#onConsensus(effect, nowMs);
  }

  #onConsensus(effect: ConsensusEffect, nowMs: number): void {
    switch (effect.type) {
      case "certificate":
      case "disconnect":
      case "dropped":
      case "violation":
      case "wake":
        return void this.#made.effects.push(effect);
      case "accept":
        return this.#follow(this.#replica.accept(effect.batch, nowMs));
      case "send":
        return this.#sendFrame(effect.peer, effect.frame);
      case "broadcast":
        return this.#broadcastFrame(effect.frame);
      case "greeted":
        return this.#welcome(effect.peer, nowMs);
      case "heard":
        return this.#accountability?.observe(effect.peer, { type: "heard" }, this.#time.latestMs);
      case "took-part": {
        const { author, round } = effect;
        return this.#accountability?.observe(author, { type: "block", round }, this.#time.latestMs);
      }
      case "misbehaviour":
        return this.#saw({ kind: "consensus", proof: effect.proof });
      case "fault":
        return this.#fault(effect.peer, effect.code, effect.detail);
      case "serve-records":
      case "serve-range":
        return this.#serve(effect);
      default:
        return unreachable(effect);
    }
  }

  /** Answered from disk, over the link on which it was asked. */
  #serve(question: Extract<ConsensusEffect, { type: "serve-records" | "serve-range" }>): void {
    const { peer, ...asked } = question;
    const link = this.#peers.get(peer)?.link;
    if (link !== undefined) this.#made.effects.push({ ...asked, link });
  }

  // ── after every input ──

  #afterwards(nowMs: number): void {
    this.#onConsensusStep(this.#consensus.look(nowMs), nowMs);
    this.#judge(nowMs);
    // Never while the disk may be an older copy: then what it has is not the newest that it saw.
    const mayVouch = this.#consensus.isCurrent && this.#accountability?.splitting.hasLeft !== true;
    if (mayVouch) this.#follow(this.#replica.renew(nowMs));
  }

  /** What this host thinks of the others now, and what follows from it. */
  #judge(nowMs: number): void {
    const atMs = this.#time.read(nowMs);
    const around = {
      ...this.#consensus.progress,
      reachable: this.#peers.greeted,
      certified: this.#replica.certified,
    };
    const effects = this.#accountability?.look(around, atMs, nowMs) ?? [];
    for (const effect of effects) this.#onAccountabilityEffect(effect, nowMs);
    const wakeAtMs = this.#accountability?.wakeAtMs(atMs);
    if (wakeAtMs !== undefined && Number.isFinite(wakeAtMs))
      this.#made.effects.push({ type: "wake", atMs: this.#time.toCaller(wakeAtMs) });
  }

  #onAccountabilityEffect(effect: AccountabilityEffect, nowMs: number): void {
    switch (effect.type) {
      case "say":
        return this.#broadcast(effect.message);
      case "tell":
        return this.#send(effect.peer, effect.message);
      case "submit":
      case "standing":
        return this.#stepConsensus(effect, nowMs);
      case "guard-split":
        this.#made.records.push(effect);
        // What this group still orders would be lost to the one that it leaves for: it neither orders nor vouches for it.
        this.#replica.leave();
        return this.#stepConsensus({ type: "leave" }, nowMs);
      default:
        return void this.#made.effects.push(effect);
    }
  }
}
