import {
  Allowance,
  type Author,
  MonotonicClock,
  Prng,
  StepBuilder,
  unreachable,
} from "../base/index.ts";
import type {
  Consensus,
  ConsensusEffect,
  ConsensusInput,
  ConsensusRecord,
  ConsensusStep,
  ConsensusVitals,
  LogRecord,
  ParticipantParts,
  RecordName,
} from "../consensus/index.ts";
import { Asking } from "./asking.ts";
import type { DagConfig, Ref } from "./block.ts";
import { DagCertificate } from "./certificate.ts";
import { CrashRecovery } from "./crash-recovery.ts";
import type { DagEffect, DagInput } from "./effects.ts";
import { helloOf } from "./hello.ts";
import { Intake, type Stream, type Taken } from "./intake.ts";
import { DagMachine } from "./machine.ts";
import { type DagMessage, decodeDagMessage, encodeDagMessage, isDagMessage } from "./messages.ts";
import { equivocationOf } from "./misbehaviour.ts";
import { blockOf, blockRecord, commitOf, commitRecord, nameOf } from "./records.ts";
import { vitalsOf } from "./vitals.ts";

type Hello = Extract<DagMessage, { type: "hello" }>;

/** Small questions that a peer may ask: each costs an answer, or a round. */
const questions = { everyMs: 50, atOnce: 32 };
const questionTypes: ReadonlySet<string> = new Set(["nudge", "seen", "inventory-wanted"]);

/**
 * A writer's part in the DAG: the machine that accepts, what writers say to one another for its sake, what is fetched where
 * something is missing, and when it is safe to sign again after a loss.
 */
export class DagParticipant implements Consensus {
  readonly #config: DagConfig;
  readonly #self: Author;
  readonly #dag: DagMachine;
  readonly #time = new MonotonicClock();
  readonly #asking: Asking;
  readonly #crashRecovery: CrashRecovery;
  readonly #intake: Intake;
  readonly #streams = new Map<Author, Stream>();
  readonly #questions = new Allowance<Author>(questions);
  #certifiedIndex = 0;
  #hasLeft: boolean;
  #hasSigned = false;
  #step = new StepBuilder<ConsensusRecord, ConsensusEffect>();

  constructor(config: DagConfig, parts: ParticipantParts) {
    const { author, sign, verifier, pacing, records, guard, hasLeft, seed } = parts;
    this.#config = config;
    this.#self = author;
    this.#hasLeft = hasLeft;
    this.#dag = new DagMachine({
      config,
      pacing,
      signer: { author, sign },
      recovery: {
        blocks: records.flatMap((record) => blockOf(record) ?? []),
        commits: records.flatMap((record) => commitOf(record) ?? []),
        signedRound: guard,
        // Who has joined a group that splits off signs nothing of this one.
        maySign: parts.maySign && !hasLeft,
      },
    });
    this.#asking = new Asking(new Prng(seed));
    this.#crashRecovery = new CrashRecovery(config.rule.parentQuorum, !parts.maySign);
    const { stateTransfer, gaps } = this.#asking;
    this.#intake = new Intake({ config, verifier, dag: this.#dag, stateTransfer, gaps });
  }

  get progress(): Consensus["progress"] {
    const { round, wantsRound: isWanted, signedRound, lastCommit } = this.#dag;
    // Once this host has begun a round for payload, the others owe their blocks of it.
    const isBegun = isWanted && signedRound >= round;
    return { round: isBegun ? round + 1 : round, lastCommit: lastCommit.index, isWanted };
  }

  get isCurrent(): boolean {
    return !this.#crashRecovery.isOpen && !this.#dag.isPaused;
  }

  get vitals(): ConsensusVitals {
    return vitalsOf({
      n: this.#config.keys.length,
      dag: this.#dag,
      asking: this.#asking,
      crashRecovery: this.#crashRecovery,
    });
  }

  /** Rounds at or below are needed no more after a restart. */
  get horizon(): number {
    return this.#dag.horizon;
  }

  recent({ place, digest }: RecordName): Uint8Array | undefined {
    return this.#dag.blocks.at(place).find(({ ref }) => ref.digest === digest)?.wire;
  }

  isMessage(frame: Uint8Array): boolean {
    return isDagMessage(frame);
  }

  step(input: ConsensusInput, nowMs: number): ConsensusStep {
    this.#step = new StepBuilder();
    this.#take(input, nowMs);
    this.#noteCertified();
    return this.#step;
  }

  /** What is missing is asked for; who has come back signs again once that is safe. */
  look(nowMs: number): ConsensusStep {
    this.#step = new StepBuilder();
    const hasSeen = (ref: Ref): boolean =>
      ref.round <= this.#dag.horizon || this.#dag.block(ref) !== undefined;
    // Who has left signs nothing any more, whatever it learns of itself.
    const minRound = this.#hasLeft ? undefined : this.#crashRecovery.resume(hasSeen);
    if (minRound !== undefined) this.#stepDag({ type: "resume", minRound }, nowMs);
    this.#ask(this.#time.read(nowMs));
    this.#pause(nowMs);
    this.#noteCertified();
    return this.#step;
  }

  #take(input: ConsensusInput, nowMs: number): void {
    switch (input.type) {
      case "peer-up":
        return this.#greet(input.peer);
      case "peer-down":
        this.#streams.delete(input.peer);
        return this.#asking.forget(input.peer);
      case "peer-refused":
        return void this.#streams.delete(input.peer);
      case "message":
        return this.#onFrame(input.peer, input.frame, nowMs);
      case "leave":
        this.#hasLeft = true;
        return this.#stepDag({ type: "suspend" }, nowMs);
      case "start":
      case "reachable":
      case "submit":
      case "standing":
      case "tick":
        return this.#stepDag(input, nowMs);
      default:
        return unreachable(input);
    }
  }

  #noteCertified(): void {
    const { certified } = this.#dag;
    if (certified === undefined || certified.index <= this.#certifiedIndex) return;
    this.#certifiedIndex = certified.index;
    this.#step.effects.push({ type: "certificate", certificate: new DagCertificate(certified) });
  }

  // ── peers ──

  /** Those that said hello. */
  get #reachable(): ReadonlySet<Author> {
    const authors = new Set<Author>();
    for (const { isGreeted, author } of this.#streams.values()) if (isGreeted) authors.add(author);
    return authors;
  }

  #send(peer: Author, message: DagMessage): void {
    this.#step.effects.push({ type: "send", peer, frame: encodeDagMessage(message) });
  }

  #broadcast(message: DagMessage): void {
    this.#step.effects.push({ type: "broadcast", frame: encodeDagMessage(message) });
  }

  #fault(peer: Author, code: string, detail = ""): void {
    this.#step.effects.push({ type: "fault", peer, code, detail });
  }

  #dropped(peer: Author, code: string): void {
    this.#step.effects.push({ type: "dropped", code, peer });
  }

  #greet(peer: Author): void {
    const hello = helloOf(this.#dag, this.#config, { self: this.#self, peer });
    const { fromRound } = hello;
    this.#streams.set(peer, { author: peer, isGreeted: false, lastPushedRound: fromRound });
    this.#send(peer, hello);
  }

  #onFrame(peer: Author, frame: Uint8Array, nowMs: number): void {
    const stream = this.#streams.get(peer);
    if (stream === undefined) return;
    const message = decodeDagMessage(frame);
    if (!message.ok) return this.#fault(peer, message.error.code, message.error.detail);
    const { type } = message.value;
    if (!stream.isGreeted && type !== "hello") return this.#fault(peer, "NO_HELLO");
    this.#step.effects.push({ type: "heard", peer });
    if (questionTypes.has(type) && !this.#questions.take(peer, this.#time.read(nowMs)))
      return this.#dropped(peer, "TOO_OFTEN");
    this.#onMessage(stream, message.value, nowMs);
  }

  #onMessage(stream: Stream, message: DagMessage, nowMs: number): void {
    const { author: peer } = stream;
    switch (message.type) {
      case "hello":
        return this.#onHello(stream, message, nowMs);
      case "block":
        return this.#takeAll(peer, this.#intake.pushed(stream, message.wire), nowMs);
      case "fetch":
        return void this.#step.effects.push({
          type: "serve-records",
          peer,
          names: message.refs.map(nameOf),
        });
      case "blocks":
        return this.#takeAll(peer, this.#intake.fetched(peer, message.wires), nowMs);
      case "nudge":
        return this.#stepDag({ type: "nudge" }, nowMs);
      case "seen":
        return this.#takeAll(peer, this.#intake.seen(message.refs), nowMs);
      case "inventory-wanted":
        return this.#tellInventory(peer, message.fromRound, nowMs);
      case "inventory":
        if (!this.#asking.antiEntropy.answered(peer)) return this.#fault(peer, "NOT_ASKED");
        return this.#stepDag({ type: "inventory", refs: message.refs, from: peer }, nowMs);
      case "sync":
        return void this.#step.effects.push({ type: "serve-range", peer, after: message.after });
      case "range": {
        const taken = this.#intake.range(peer, message.range, this.#time.read(nowMs));
        return this.#takeAll(peer, taken, nowMs);
      }
      default:
        return unreachable(message);
    }
  }

  #tellInventory(peer: Author, fromRound: number, nowMs: number): void {
    if (this.#asking.antiEntropy.mayTell(peer, this.#time.read(nowMs)))
      this.#send(peer, { type: "inventory", refs: this.#dag.blocks.inventory(fromRound) });
  }

  #onHello(stream: Stream, hello: Hello, nowMs: number): void {
    const { author: peer } = stream;
    if (hello.group !== this.#config.group || hello.epoch !== this.#config.epoch)
      return void this.#step.effects.push({ type: "disconnect", peer, code: "WRONG_GROUP" });
    if (stream.isGreeted) return this.#fault(peer, "SECOND_HELLO");
    stream.isGreeted = true;
    this.#asking.gaps.lookAgain();
    this.#asking.stateTransfer.hint(peer, hello.lastCommit);
    this.#pause(nowMs);
    this.#learnOfSelf(peer, hello, nowMs);
    for (const { wire } of this.#dag.blocks.ownAbove(hello.fromRound))
      this.#send(peer, { type: "block", wire });
    this.#step.effects.push({ type: "greeted", peer });
  }

  /** Until this process has signed something, it may stand on an old copy of its disk. */
  #pause(nowMs: number): void {
    const isBehind = this.#asking.stateTransfer.isFarBehind(this.#dag.lastCommit.index);
    const isPaused = !this.#hasSigned && isBehind;
    if (isPaused !== this.#dag.isPaused) this.#stepDag({ type: "pause", isPaused }, nowMs);
  }

  /** Every hello answers the question "what have I signed?" (`dag.md` §12). */
  #learnOfSelf(peer: Author, hello: Hello, nowMs: number): void {
    const mine = this.#intake.refOf(hello.newestOfYou, this.#self);
    const theirs = this.#intake.refOf(hello.newestOfMe, peer);
    this.#crashRecovery.claim(peer, { mine, theirs });
    if (mine === undefined || mine.round <= this.#dag.signedRound || this.#crashRecovery.isOpen)
      return;
    this.#crashRecovery.reopen();
    this.#stepDag({ type: "suspend" }, nowMs);
  }

  #takeAll(peer: Author, taken: Iterable<Taken>, nowMs: number): void {
    for (const one of taken) {
      if (one.kind === "input") this.#stepDag(one.input, nowMs);
      else if (one.kind === "fault") this.#fault(peer, one.code, one.detail);
      else if (one.kind === "misbehaviour")
        this.#step.effects.push({ type: "misbehaviour", proof: one.proof });
      else if (one.kind === "seen") this.#broadcast({ type: "seen", refs: one.refs });
      else if (one.kind === "reply") this.#send(peer, { type: "blocks", wires: one.wires });
      else this.#dropped(peer, one.code);
    }
  }

  #ask(paceMs: number): void {
    const asked = this.#asking.look(this.#dag, this.#reachable, paceMs);
    for (const { peer, message } of asked.questions) this.#send(peer, message);
    for (const atMs of asked.wakesAtMs)
      if (Number.isFinite(atMs))
        this.#step.effects.push({ type: "wake", atMs: this.#time.toCaller(atMs) });
  }

  // ── what the machine wants done ──

  #stepDag(input: DagInput, nowMs: number): void {
    for (const effect of this.#dag.step(input, nowMs)) this.#onDagEffect(effect);
  }

  #log(record: LogRecord): void {
    this.#step.records.push({ type: "log", record });
  }

  #onDagEffect(effect: DagEffect): void {
    switch (effect.type) {
      case "persist-block": {
        // Only what was admitted is a sign of life: a block of a far round, or upon nothing, costs its author nothing.
        const { author, round } = effect.block.ref;
        this.#step.effects.push({ type: "took-part", author, round });
        return this.#log(blockRecord(effect.block));
      }
      case "persist-commit":
        return this.#log(commitRecord(effect.commit, effect.bytes));
      case "violation":
      case "wake":
      case "accept":
        return void this.#step.effects.push(effect);
      case "guard":
        this.#hasSigned = true;
        return void this.#step.records.push({ type: "guard", place: effect.round });
      case "broadcast":
        return this.#broadcast({ type: "block", wire: effect.block.wire });
      case "missing":
        return this.#asking.gaps.named(effect.refs, effect.from);
      case "equivocation": {
        const proof = equivocationOf({ ...effect, epoch: this.#config.epoch });
        return void this.#step.effects.push({ type: "misbehaviour", proof });
      }
      case "dropped":
        return this.#dropped(effect.from, effect.code);
      case "needs-round":
        return this.#broadcast({ type: "nudge" });
      case "amnesia":
        return this.#crashRecovery.reopen();
      default:
        return unreachable(effect);
    }
  }
}
