import {
  bigEndian,
  type Digest,
  equalBytes,
  fail,
  isPublicKey,
  limits,
  ok,
  type PublicKey,
  type Result,
  readBigEndian,
} from "../../core/base/index.ts";
import { bytes, encode, list, read } from "../../core/codec/index.ts";
import { lineageOf, type Network } from "../../core/committee/index.ts";
import type { Segment } from "../../core/consensus/index.ts";
import type { Verifier } from "../../core/crypto/index.ts";
import { kindName, type Verdict } from "../../core/evidence/index.ts";
import type { OpinionView } from "../../core/host/index.ts";
import {
  lookup,
  type MirrorEvent,
  type MirrorState,
  type MirrorView,
  MissingNodeError,
  readUpdate,
  stateKeys,
} from "../../core/mirror/index.ts";
import { opinions, reasonText } from "../../core/opinion/index.ts";
import { StorageError } from "../../io/ports/index.ts";
import { askJson } from "../client/index.ts";
import type { Config } from "../config/index.ts";
import { Archive, type CertifiedHead, type FollowedSoFar, type Wait } from "../gateway/index.ts";
import type { HostStore, LaterEffect } from "../host/index.ts";
import { type Before, ContentFetcher, WrongSizeError } from "./content.ts";
import { FollowAnswers } from "./follow-answers.ts";
import { isHeadNews } from "./head-news.ts";
import { Heads } from "./heads.ts";
import { ListsAtHand } from "./lists-at-hand.ts";
import type { Log } from "./log.ts";
import { MessageFeed } from "./message-feed.ts";
import type { Metrics } from "./metrics.ts";
import { countConvictions, Offences } from "./offences.ts";
import { Retainer } from "./retainer.ts";
import { Signal } from "./signal.ts";

/** A source that did not say who it is is asked again after so long, milliseconds. */
const learnAgainMs = 10_000;
/** Blobs that the disk lost and that are fetched again at once, at most. */
const fetchingLostMax = 64;
/** What nobody has gives up its place after so long, milliseconds. */
const fetchingLostMs = 30_000;

/** What the two kinds of hosts do differently. */
export interface NodeRole {
  readonly state: MirrorState;
  /** A change list is here now for which execution waited. */
  changesHere(): void;
  /** An accepted update: writers fetch it and say `held`. */
  onAccepted(event: Extract<MirrorEvent, { type: "accepted" }>): void;
  /** An update was published or refused. */
  onFinished(id: Digest): void;
  /** All content of a published change list is here. */
  onComplete(changes: Digest): void;
}

/** What writers and readers have in common: store, content, feed, and what is served. */
export class NodeCore {
  readonly network: Network;
  readonly store: HostStore;
  readonly archive: Archive;
  readonly content: ContentFetcher;
  readonly feed: MessageFeed;
  readonly retainer: Retainer;
  readonly news = new Signal();
  readonly log: Log;
  readonly metrics: Metrics;
  readonly #verifier: Verifier;
  /** Change lists that execution will ask for. */
  readonly #lists = new ListsAtHand();
  readonly #answers: FollowAnswers;
  readonly #onFatal: (error: unknown) => void;
  readonly #tickets = new Map<number, (place: Result<{ index: number; count: number }>) => void>();
  /** Misdeeds that were counted. */
  readonly #offences = new Offences();
  /** Keys of sources that are not in the genesis, as they say: whoever lies about his own is no worse than a stranger. */
  readonly #keys = new Map<string, PublicKey>();
  readonly #asking = new Set<string>();
  readonly #fetchingLost = new Set<Digest>();
  #nextTicket = 1;
  #complete: number;
  readonly #heads: Heads;
  #completing: Promise<void> | undefined;
  #role: NodeRole | undefined;

  constructor(options: {
    readonly network: Network;
    readonly store: HostStore;
    readonly sources: () => readonly string[];
    readonly log: Log;
    readonly metrics: Metrics;
    readonly verifier: Verifier;
    readonly onFatal: (error: unknown) => void;
    readonly messages: number;
    readonly retain: Config["retain"];
  }) {
    const { network, store, log, metrics } = options;
    this.network = network;
    this.store = store;
    this.#answers = new FollowAnswers(network.consensus, store.batches);
    this.log = log;
    this.metrics = metrics;
    this.#verifier = options.verifier;
    this.#onFatal = options.onFatal;
    this.archive = new Archive(store.state);
    this.feed = new MessageFeed({
      store,
      archive: this.archive,
      news: this.news,
      next: options.messages,
    });
    const onBytes = (peer: string, bytes: number): void => metrics.syncBytes.inc({ peer }, bytes);
    this.content = new ContentFetcher({
      blobs: store.blobs,
      sources: () => options.sources().filter((source) => !this.isConvictedSource(source)),
      log,
      onBytes,
    });
    this.retainer = new Retainer({
      retain: options.retain,
      state: store.state,
      archive: this.archive,
      newest: () => this.role.state.height,
      before: (trees) => this.before(trees),
    });
    const complete = store.state.get(stateKeys.complete);
    this.#complete = complete === undefined ? 0 : readBigEndian(complete);
    countConvictions(this.archive.convictions(), { network, metrics });
    this.#heads = new Heads(this.network, this.archive.checkpoints(), this.#complete);
  }

  /** Binds the machine once it exists; before, nothing is performed. */
  bind(role: NodeRole): void {
    this.#role = role;
  }

  get role(): NodeRole {
    if (this.#role === undefined) throw new Error("the node is not started");
    return this.#role;
  }

  /** What the machine may read while it executes. */
  get view(): MirrorView {
    return {
      get: (key) => this.store.state.get(key),
      changes: (digest) => this.#lists.get(digest),
    };
  }

  /** The newest certified checkpoint. */
  get head(): CertifiedHead | undefined {
    return this.#heads.newest;
  }

  /** The newest certified checkpoints, and which of them is served. */
  get heads(): Heads {
    return this.#heads;
  }

  /** Newest height that is certified and whose content is all here. */
  get servedHeight(): number {
    return Math.min(this.#complete, this.head?.due.height ?? 0);
  }

  // ── effects ──

  /** Performs what writers and readers perform alike; returns false for what is not for this room. */
  perform(effect: LaterEffect): boolean {
    switch (effect.type) {
      case "state":
        return true;
      case "accepted":
        this.feed.accepted(effect.batch);
        return true;
      case "executed":
        this.#executed(effect);
        this.news.notify();
        return true;
      case "mirror":
        this.#onMirror(effect.event);
        return true;
      case "execution-paused":
        setImmediate(() => this.role.changesHere());
        return true;
      case "changes-needed":
        void this.#bringChanges(effect.changes, effect.update);
        return true;
      case "certified":
        this.archive.keepCheckpoint(effect.due.size, effect.note);
        this.#heads.certified({ due: effect.due, note: effect.note }, this.#complete);
        this.#completeMore();
        this.news.notify();
        return true;
      case "certificate":
        this.store.batches.keepCertificate(effect.certificate);
        this.news.notify();
        return true;
      case "evidence":
        this.#onProof(effect.verdict);
        return true;
      case "opinion":
        this.#onOpinion(effect.view);
        return true;
      case "dropped":
        this.metrics.dropped.inc({ code: effect.code });
        return true;
      default:
        return false;
    }
  }

  #executed({ commit, firstMessage, appends }: Extract<LaterEffect, { type: "executed" }>): void {
    for (const [ticket, place] of this.feed.executed(commit, firstMessage, appends))
      this.#settle(ticket, place);
  }

  #onOpinion({ about, opinion, reason }: OpinionView): void {
    const host = this.network.writers[about]?.name ?? String(about);
    this.metrics.opinion.set({ host }, opinions.indexOf(opinion));
    this.log.info({ host, opinion: reasonText(opinion, reason) }, "opinion changed");
  }

  #onMirror(event: MirrorEvent): void {
    switch (event.type) {
      case "accepted":
        return this.role.onAccepted(event);
      case "finished":
        this.log.info(
          { update: event.id, outcome: event.outcome, height: event.height },
          "update finished",
        );
        this.#lists.forget(event.id);
        this.role.onFinished(event.id);
        return this.news.notify();
      case "height":
        return this.#completeMore();
      case "ignored":
        return void this.metrics.dropped.inc({ code: event.code });
      case "convicted": {
        const { conviction } = event;
        return this.#onProof({ ...conviction, kind: kindName(this.network, conviction.of) });
      }
      case "pardoned":
        return this.log.warn({ host: event.culprit }, "an administrator pardoned a convicted host");
      case "opinion":
      case "origin":
      case "checkpoint-due":
        return;
    }
  }

  // ── content ──

  /** Keeps the change list of a pending update at hand for execution. */
  rememberChanges(update: Digest, digest: Digest, bytes: Uint8Array): void {
    this.#lists.keep(update, digest, bytes);
  }

  async #bringChanges(digest: Digest, update: Digest): Promise<void> {
    const pending = this.role.state.pending.get(update);
    const record = pending && readUpdate(pending.wire, undefined, this.#verifier);
    if (record?.ok !== true) return;
    const { bytes: length } = record.value.record.changes;
    await this.untilDone("bring a change list", async () => {
      this.rememberChanges(update, digest, await this.content.changes({ digest, bytes: length }));
      this.role.changesHere();
    });
  }

  /**
   * Work beside the loop: tried again until it succeeds or the host stops. A storage error is not tried again: it
   * ends the host. Nor is an update whose sizes lie: it can never be complete.
   */
  async untilDone(what: string, work: () => Promise<void>): Promise<void> {
    for (let waitMs = 500; !this.content.isStopped; waitMs = Math.min(2 * waitMs, 30_000)) {
      try {
        return await work();
      } catch (error) {
        if (this.content.isStopped) return;
        this.log.error({ reason: String(error) }, `cannot ${what}`);
        if (error instanceof StorageError) return this.#onFatal(error);
        if (error instanceof WrongSizeError) return;
        await this.news.next(waitMs);
      }
    }
  }

  /** Fetches what published heights lack, in their order; a height is served once all of it is here. */
  #completeMore(): void {
    this.#completing ??= this.untilDone("complete a height", () => this.#completeLoop()).finally(
      () => {
        this.#completing = undefined;
      },
    );
  }

  async #completeLoop(): Promise<void> {
    for (;;) {
      const record = this.archive.height(this.#complete + 1);
      if (record === undefined) return;
      if (record.changes !== undefined) {
        const ref = { digest: record.changes, bytes: record.changesBytes };
        const before = this.before(this.archive.height(this.#complete)?.trees);
        const need = this.retainer.needAt(record.height);
        if (!(await this.content.complete(ref, { before, need }))) return;
      }
      this.#complete = record.height;
      if (record.changes !== undefined) this.#role?.onComplete(record.changes);
      this.store.state.write([[stateKeys.complete, bigEndian(this.#complete, 6)]]);
      this.#heads.complete(this.#complete);
      this.metrics.height.set(this.servedHeight);
      this.news.notify();
    }
  }

  get completeHeight(): number {
    return this.#complete;
  }

  /** What stood at a path of the trees under `trees`; a hint, so a node that cannot be read says nothing. */
  before(trees: Digest | undefined): Before {
    return (tree, path) => {
      try {
        const entry = lookup(this.archive.directories, trees, [tree, ...path.split("/")]);
        return entry?.kind === "file" ? entry.digest : undefined;
      } catch (error) {
        if (error instanceof MissingNodeError) return undefined;
        throw error;
      }
    };
  }

  startCompleting(): void {
    this.#completeMore();
  }

  /** A blob that the disk lost is fetched from neighbours again. */
  wantBlob({ digest, size }: { readonly digest: Digest; readonly size: number }): void {
    if (this.store.blobs.has(digest) || this.#fetchingLost.has(digest)) return;
    // Whoever asks for another one later brings that up again.
    if (this.#fetchingLost.size >= fetchingLostMax) return;
    this.#fetchingLost.add(digest);
    this.log.warn({ digest }, "a blob is missing or damaged; fetching it again");
    this.metrics.dropped.inc({ code: "BLOB_LOST" });
    const untilMs = Date.now() + fetchingLostMs;
    const isWanted = (): boolean => Date.now() < untilMs;
    void this.untilDone("fetch a lost blob", () =>
      this.content.one(digest, size, isWanted),
    ).finally(() => this.#fetchingLost.delete(digest));
  }

  // ── broadcast ──

  ticket(): {
    readonly ticket: number;
    readonly place: Promise<Result<{ index: number; count: number }>>;
  } {
    const ticket = this.#nextTicket++;
    const place = new Promise<Result<{ index: number; count: number }>>((resolve) =>
      this.#tickets.set(ticket, resolve),
    );
    return { ticket, place };
  }

  #settle(ticket: number, place: Result<{ index: number; count: number }>): void {
    this.#tickets.get(ticket)?.(place);
    this.#tickets.delete(ticket);
  }

  /** Answers everybody who waits for a place in the order. */
  stop(): void {
    this.content.stop();
    for (const ticket of [...this.#tickets.keys()])
      this.#settle(
        ticket,
        fail("STOPPED", "the host stops; the message may or may not be ordered"),
      );
    this.news.close();
  }

  tail(
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ first: number; segments: readonly Segment[] }> {
    return this.feed.tail(from, signal);
  }

  /** Commits after `after.commit` and a checkpoint above `after.size`, as soon as there is one of the two. */
  async follow(after: FollowedSoFar, wait: Wait): Promise<Result<Uint8Array>> {
    const { group = this.network.group } = after;
    const isOwn = group === this.network.group;
    if (!isOwn && !this.#endsLater(group, after.commit))
      return fail(
        "OTHER_GROUP",
        "this host follows another group; see /.smalti/splits.json for what became of yours",
      );
    const certified = (): number => this.store.batches.tip?.index ?? 0;
    const isNewer = (): boolean =>
      isHeadNews({ head: this.head, certified: certified(), leaseS: this.#heads.leaseS }, after);
    const hasNews = (): boolean => certified() > after.commit || (isOwn && isNewer());
    await this.news.until(hasNews, wait);
    const note = isOwn && isNewer() ? this.head?.note : undefined;
    return ok(await this.#answers.after(after.commit, note));
  }

  /** True for a group that this one comes from, while `commit` is before its end. */
  #endsLater(group: string, commit: number): boolean {
    return lineageOf(this.network).some(
      ({ parent }) => parent?.network.group === group && commit < parent.at.commit.index,
    );
  }

  // ── splits ──

  /** Founding documents of groups of the same past. */
  get splits(): readonly Uint8Array[] {
    const stored = this.store.state.get(stateKeys.splits);
    const wires =
      stored === undefined
        ? undefined
        : read(stored, list(bytes(limits.bulkBytesMax), 64), "splits");
    return wires?.ok ? wires.value : [];
  }

  keepSplit(wire: Uint8Array): void {
    const known = this.splits;
    if (known.some((one) => equalBytes(one, wire))) return;
    this.store.state.write([[stateKeys.splits, encode([...known, wire])]]);
    this.news.notify();
  }

  // ── evidence ──

  /** True for a source whose host is convicted; a source is known by its address, or by the key it showed. */
  isConvictedSource(source: string): boolean {
    const writer = this.network.writers.find(({ http }) => http === source);
    const key = writer?.nodeKey ?? this.#keys.get(source);
    if (key === undefined) this.#learnKey(source);
    return key !== undefined && this.archive.isConvicted(key);
  }

  #learnKey(source: string): void {
    if (this.#asking.has(source)) return;
    this.#asking.add(source);
    void askJson<{ nodeKey?: unknown }>(`${source}/.smalti/status.json`, { patienceMs: 5000 })
      .then(({ nodeKey }) => {
        if (isPublicKey(nodeKey)) this.#keys.set(source, nodeKey);
      })
      // It is asked again when it is thought of again; until then it is as good as any.
      .catch(() => setTimeout(() => this.#asking.delete(source), learnAgainMs).unref());
  }

  /** Found, told, or ordered: each misdeed is counted once. */
  #onProof(
    proof: Pick<Verdict, "offence" | "culprit" | "detail"> & { readonly kind: string },
  ): void {
    if (!this.#offences.isNew(proof.offence)) return;
    const writer = this.network.writers.find(({ nodeKey }) => nodeKey === proof.culprit);
    const offender = writer?.name ?? proof.culprit.slice(0, 16);
    // Anybody can invent a reader: their names would make metrics without end.
    this.metrics.evidence.inc({ kind: proof.kind, offender: writer?.name ?? "reader" });
    this.log.error(
      { offender, kind: proof.kind, detail: proof.detail },
      "misbehaviour is proven; see: smalti evidence ls",
    );
  }
}
