import type { Verdict } from "../../core/accountability/index.ts";
import {
  type Author,
  type Digest,
  fail,
  limits,
  type PublicKey,
  type Result,
  unreachable,
} from "../../core/base/index.ts";
import { type Segment, segmentOf } from "../../core/consensus/index.ts";
import type { Verifier } from "../../core/crypto/index.ts";
import {
  type MirrorEvent,
  type MirrorState,
  messageKinds,
  readAppend,
  readUpdate,
  type SignedUpdate,
} from "../../core/mirror/index.ts";
import type { SignedStatement } from "../../core/opinion/index.ts";
import type { HostInput, PlanView, SplitWish, WriterHost } from "../../core/replica/index.ts";
import type { SplitPlan } from "../../core/split/index.ts";
import { StorageError } from "../../io/ports/index.ts";
import type { Links } from "../../io/transport/index.ts";
import type { WitnessReport } from "../gateway/index.ts";
import { HostLoop, type LaterEffect } from "../loop/index.ts";
import { broughtBytesMax, InLine } from "../pace/index.ts";
import type { DeskWriter } from "../publishing/index.ts";
import { Answers, readBack } from "../replication/index.ts";
import type { Question } from "../store/index.ts";
import { Bans } from "./bans.ts";
import type { Challenger } from "./challenger.ts";
import type { NodeCore, NodeRole } from "./node-core.ts";
import { systemClock } from "./system-clock.ts";
import type { Witness } from "./witness.ts";

/** A writer in the world: its loop, its links, and what it says `held` to. */
export class WriterNode implements NodeRole, DeskWriter {
  readonly #core: NodeCore;
  readonly #host: WriterHost;
  readonly #loop: HostLoop;
  readonly #verifier: Verifier;
  readonly #self: Author;
  #links: Links | undefined;
  readonly #bans = new Bans();
  readonly #answers = {
    "serve-records": new Answers((question) => this.#serve(question)),
    "serve-range": new Answers((question) => this.#serve(question)),
  } as const;
  readonly #held = new Set<Digest>();
  /** Updates whose bytes are being brought. */
  readonly #holding = new Set<Digest>();
  /** Who waits for this host's signature, or for a plan: each is answered in its turn. */
  readonly #signing: ((statements: readonly SignedStatement[]) => void)[] = [];
  readonly #proposing: ((plan: Result<SplitPlan>) => void)[] = [];
  readonly #inLine = new InLine<PublicKey>(broughtBytesMax);
  readonly #onSplit: (wire: Uint8Array, isMine: boolean) => void;
  readonly #challenger: Challenger | undefined;
  readonly #witness: Witness | undefined;

  constructor(options: {
    readonly core: NodeCore;
    readonly host: WriterHost;
    readonly self: Author;
    readonly verifier: Verifier;
    readonly onFatal: (error: unknown) => void;
    readonly challenger?: Challenger;
    readonly witness?: Witness;
    /** A group is founded that this host is in, or the other one. */
    readonly onSplit: (wire: Uint8Array, isMine: boolean) => void;
  }) {
    this.#challenger = options.challenger;
    this.#witness = options.witness;
    this.#onSplit = options.onSplit;
    this.#core = options.core;
    this.#host = options.host;
    this.#self = options.self;
    this.#verifier = options.verifier;
    const { core } = options;
    this.#loop = new HostLoop({
      host: options.host,
      store: core.store,
      clock: systemClock,
      perform: (effect) => this.#perform(effect),
      stepped: (input) => {
        if (input.type === "message") this.#drain(input.peer);
      },
      synced: (seconds) => core.metrics.syncSeconds.observe(seconds),
      onFatal: async (error) => {
        if (error instanceof StorageError) await core.store.markFailed(error.message);
        options.onFatal(error);
      },
    });
    core.bind(this);
  }

  useLinks(links: Links): void {
    this.#links = links;
  }

  get state(): MirrorState {
    return this.#host.state;
  }

  get horizon(): number {
    return this.#host.horizon;
  }

  get vitals(): WriterHost["vitals"] {
    return this.#host.vitals;
  }

  /** Proofs that are here and not ordered yet. */
  get found(): readonly Verdict[] {
    return this.#host.accountability?.proofs.found ?? [];
  }

  /** What this host thinks now, signed; nothing of a host that stops. */
  statements(): Promise<readonly SignedStatement[]> {
    if (this.#loop.isStopped) return Promise.resolve([]);
    return new Promise((done) => {
      this.#signing.push(done);
      this.push({ type: "sign-opinions" });
    });
  }

  /** It has signed itself out of this group, and the other one is not founded here yet. */
  get hasLeft(): boolean {
    return this.#host.accountability?.splitting.hasLeft === true;
  }

  get plans(): readonly PlanView[] {
    return this.#host.accountability?.splitting.plans ?? [];
  }

  /** Faults: of the proposal; STOPPED. */
  proposeSplit(wish: SplitWish): Promise<Result<SplitPlan>> {
    if (this.#loop.isStopped) return Promise.resolve(fail("STOPPED", "the host stops"));
    return new Promise((done) => {
      this.#proposing.push(done);
      this.push({ type: "propose-split", ...wish });
    });
  }

  /** Bytes handed to the links so far. */
  get sentBytes(): number {
    return this.#links?.sentBytes ?? 0;
  }

  stateWritten(): void {
    this.#host.stateWritten();
  }

  changesHere(): void {
    this.push({ type: "changes-here" });
  }

  // ── the loop ──

  push(input: HostInput): void {
    this.#loop.push(input);
  }

  /** Frames from a peer; returns the bytes that now wait, with what each takes beside what it says. */
  pushFrame(peer: Author, frame: Buffer): number {
    this.push({ type: "message", peer, frame });
    return this.#loop.waiting(peer);
  }

  #drain(peer: Author): void {
    if (this.#loop.waiting(peer) < limits.peerInboxBytesMax / 2) this.#links?.drained(peer);
  }

  #perform(effect: LaterEffect): void {
    switch (effect.type) {
      case "send":
        return this.#links?.send(effect.link, effect.frame);
      case "broadcast":
        return this.#links?.broadcast(effect.links, effect.frame);
      case "serve-records":
      case "serve-range":
        if (!this.#answers[effect.type].ask(effect))
          this.#core.metrics.dropped.inc({ code: "BUSY" });
        return;
      case "batches-needed":
        return void readBack(this.#core, effect).then((batches) =>
          this.push({ type: "batches", batches }),
        );
      case "opinions-signed":
        return this.#signing.shift()?.(effect.statements);
      case "split-proposed":
        return this.#proposing.shift()?.(effect.plan);
      case "split":
        return this.#onSplit(effect.wire, effect.isMine);
      case "disconnect":
        return this.#ban(effect.peer, effect.code);
      default:
        if (!this.#core.perform(effect)) unreachable(effect as never);
    }
  }

  /** What cannot be read is not answered: others have it, and an old record is no reason to stop. */
  async #serve(effect: Question): Promise<void> {
    try {
      const answer = await this.#core.store.answer(effect, (name) => this.#host.recent(name));
      this.#links?.send(effect.link, answer);
    } catch (error) {
      this.#core.metrics.dropped.inc({ code: "STORAGE_LOG_CORRUPT" });
      this.#core.log.error({ reason: String(error) }, "cannot read what a peer asked for");
    }
  }

  #ban(peer: Author, code: string): void {
    const forMs = this.#bans.next(peer, performance.now());
    const name = this.#core.network.writers[peer]?.name ?? String(peer);
    this.#core.metrics.disconnects.inc({ peer: name });
    this.#core.log.warn({ peer: name, code, forMs }, "peer misbehaves; link closed");
    this.#links?.ban(peer, forMs, code);
  }

  async stop(): Promise<void> {
    this.#witness?.stop();
    await this.#loop.stop();
    for (const done of this.#signing.splice(0)) done([]);
    for (const done of this.#proposing.splice(0)) done(fail("STOPPED", "the host stops"));
  }

  // ── content of updates ──

  onAccepted({ update, author }: Extract<MirrorEvent, { type: "accepted" }>): void {
    void this.#hold(update, author);
  }

  /** After a restart: updates that this host may not have said `held` to. */
  resumePending(): void {
    for (const { wire, heldBy } of this.state.pending.values()) {
      const update = readUpdate(wire, undefined, this.#verifier);
      if (update.ok && !heldBy.has(this.#self)) void this.#hold(update.value, this.#self);
    }
  }

  onFinished(id: Digest): void {
    this.#held.delete(id);
  }

  /** One of the others is asked whether it has what it holds. */
  onComplete(changes: Digest): void {
    const others = this.#core.network.writers.filter(({ index }) => index !== this.#self);
    void this.#core.store.blobs
      .read(changes)
      .then((bytes) => this.#challenger?.onPublished(bytes, others))
      .then((wire) => {
        if (wire !== undefined) this.push({ type: "evidence", wire });
      })
      .catch((error) => this.#core.log.debug({ reason: String(error) }, "no challenge made"));
  }

  /** `held` for an update from elsewhere also says: I saw these bytes there. */
  async #isSeen(update: SignedUpdate, changes: Uint8Array): Promise<boolean> {
    const hasOutcome = (): boolean => this.hasOutcome(update.id);
    return (await this.#witness?.see(update, changes, hasOutcome)) === true;
  }

  /** What this host saw at the source of an update. */
  witnessOf(id: Digest): WitnessReport | undefined {
    return this.#witness?.reportOf(id);
  }

  async #hold(update: SignedUpdate, author: Author): Promise<void> {
    const { id, record } = update;
    if (this.#held.has(id) || this.#holding.has(id)) return;
    this.#holding.add(id);
    const { publisher, changes } = record;
    // The size is a publisher's word, and at least one: a line is known by what goes on in it.
    await this.#inLine
      .run(publisher, changes.bytes + 1, () => this.#bring(update, author))
      .finally(() => this.#holding.delete(id));
  }

  /** Brings what an update names, and says so to all; until then, or until it is published or refused. */
  async #bring(update: SignedUpdate, author: Author): Promise<void> {
    const { id, record } = update;
    const { digest } = record.changes;
    const isWanted = (): boolean => !this.hasOutcome(id);
    const hint = author === this.#self ? undefined : this.#core.network.writers[author]?.http;
    await this.#core.untilDone("hold an update", async () => {
      const before = this.#core.before(this.state.trees);
      const from = { hint, before, isWanted };
      const changes = await this.#core.content.ensure(record.changes, from);
      if (changes === undefined) return;
      if (record.source !== undefined && !(await this.#isSeen(update, changes))) return;
      // It may have been published meanwhile, or another call may have been faster.
      if (this.#held.has(id) || this.#core.archive.outcome(id) !== undefined) return;
      this.#held.add(id);
      this.#core.rememberChanges(id, digest, changes);
      this.push({ type: "held", updates: [id] });
    });
  }

  // ── what this writer orders itself ──

  get whyNot(): { readonly code: string; readonly detail: string } | undefined {
    if (this.#loop.isStopped) return { code: "STOPPED", detail: "the host stops" };
    if (this.hasLeft)
      return {
        code: "NOT_SIGNING",
        detail: "this writer has joined a group that splits off; use another writer",
      };
    const { isSigning, isPaused, returning, pendingBytes, lastCommit, quorumCommit } =
      this.#host.vitals;
    if (!isSigning || isPaused) {
      const detail =
        returning !== undefined
          ? `this writer lost what it had signed and waits until ${returning.needed} others told it (${returning.answers} did); use another writer`
          : isPaused
            ? "this writer has just started and is far behind the others; use another writer"
            : "this writer does not sign";
      return { code: "NOT_SIGNING", detail };
    }
    if (quorumCommit - lastCommit > limits.commitLagMax)
      return {
        code: "NOT_SIGNING",
        detail: "this writer was away and catches up with the others; use another writer",
      };
    if (pendingBytes > limits.pendingPayloadBytesMax)
      return { code: "BUSY", detail: "too much waits to be ordered; try again" };
    return undefined;
  }

  hasOutcome(id: Digest): boolean {
    return this.#core.archive.outcome(id) !== undefined;
  }

  order(update: SignedUpdate): void {
    if (!this.state.pending.has(update.id))
      this.#submit(segmentOf(messageKinds.update, [update.wire]), 0);
    void this.#hold(update, this.#self);
  }

  /** A signed record of an administrator, of that kind of message. */
  orderSigned(kind: number, wire: Uint8Array): void {
    this.#submit(segmentOf(kind, [wire]), 0);
  }

  #submit(segment: Segment, ticket: number): void {
    this.push({ type: "submit", ticket, segment });
  }

  async appendOnce(wire: Uint8Array): Promise<Result<{ index: number; count: number }>> {
    const record = readAppend(wire, this.#core.network.group, this.#verifier);
    if (!record.ok) return record;
    return this.append(segmentOf(messageKinds.append, [wire]));
  }

  async append(segment: Segment): Promise<Result<{ index: number; count: number }>> {
    const { whyNot } = this;
    if (whyNot !== undefined) return fail(whyNot.code, whyNot.detail);
    const { ticket, place } = this.#core.tickets.take();
    this.#submit(segment, ticket);
    return place;
  }
}
