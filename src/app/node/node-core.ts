import { kindName, type Verdict } from "../../core/accountability/index.ts";
import { type Digest, defined, equalBytes, limits } from "../../core/base/index.ts";
import { bytes, encode, list, read } from "../../core/codec/index.ts";
import type { Network } from "../../core/committee/index.ts";
import type { Segment } from "../../core/consensus/index.ts";
import type { Verifier } from "../../core/crypto/index.ts";
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
import type { OpinionView } from "../../core/replica/index.ts";
import { StorageError } from "../../io/ports/index.ts";
import type { Config } from "../config/index.ts";
import type { LaterEffect } from "../loop/index.ts";
import {
  type Before,
  Completion,
  ContentFetcher,
  Follow,
  Heads,
  ListsAtHand,
  MessageFeed,
  Signal,
  SourceKeys,
  Tickets,
  WrongSizeError,
} from "../replication/index.ts";
import { Retainer } from "../retention/index.ts";
import { Archive, type CertifiedHead, type HostStore } from "../store/index.ts";
import type { Log, Metrics } from "../telemetry/index.ts";
import { countConvictions, Offences } from "./offences.ts";

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
  readonly follow: Follow;
  readonly news = new Signal();
  readonly tickets = new Tickets();
  readonly log: Log;
  readonly metrics: Metrics;
  readonly #verifier: Verifier;
  /** Change lists that execution will ask for. */
  readonly #lists = new ListsAtHand();
  readonly #onFatal: (error: unknown) => void;
  /** Misdeeds that were counted. */
  readonly #offences = new Offences();
  readonly #sourceKeys: SourceKeys;
  readonly #fetchingLost = new Set<Digest>();
  readonly #heads: Heads;
  readonly #completion: Completion;
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
    this.#sourceKeys = new SourceKeys(network);
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
    this.#completion = new Completion({
      state: store.state,
      archive: this.archive,
      content: this.content,
      retainer: this.retainer,
      before: (trees) => this.before(trees),
      untilDone: (what, work) => this.untilDone(what, work),
      onComplete: (height, changes) => this.#onComplete(height, changes),
    });
    countConvictions(this.archive.convictions(), { network, metrics });
    this.#heads = new Heads(this.network, this.archive.checkpoints(), this.completeHeight);
    const { batches } = store;
    this.follow = new Follow({ network, batches, heads: this.#heads, news: this.news });
  }

  /** Binds the machine once it exists; before, nothing is performed. */
  bind(role: NodeRole): void {
    this.#role = role;
  }

  get role(): NodeRole {
    return defined(this.#role, "the role of a node that is started");
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
    return Math.min(this.completeHeight, this.head?.due.height ?? 0);
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
        this.#heads.certified({ due: effect.due, note: effect.note }, this.completeHeight);
        this.#completion.goOn();
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
      this.tickets.settle(ticket, place);
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
        return this.#completion.goOn();
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

  get completeHeight(): number {
    return this.#completion.height;
  }

  #onComplete(height: number, changes: Digest | undefined): void {
    if (changes !== undefined) this.#role?.onComplete(changes);
    this.#heads.complete(height);
    this.metrics.height.set(this.servedHeight);
    this.news.notify();
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
    this.#completion.goOn();
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

  /** Answers everybody who waits for a place in the order. */
  stop(): void {
    this.content.stop();
    this.tickets.stop();
    this.news.close();
  }

  tail(
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ first: number; segments: readonly Segment[] }> {
    return this.feed.tail(from, signal);
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

  /** True for a source whose host is convicted. */
  isConvictedSource(source: string): boolean {
    const key = this.#sourceKeys.keyOf(source);
    return key !== undefined && this.archive.isConvicted(key);
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
