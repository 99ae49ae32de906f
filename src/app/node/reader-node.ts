import { setTimeout as sleep } from "node:timers/promises";
import { type Fault, fromBase64, limits, Prng, type PublicKey } from "../../core/base/index.ts";
import { fields, optional, read, type Shape, text } from "../../core/codec/index.ts";
import type { BatchRange, Protocol } from "../../core/consensus/index.ts";
import type { Verifier } from "../../core/crypto/index.ts";
import type { MirrorEvent, MirrorState } from "../../core/mirror/index.ts";
import type { Opinion } from "../../core/opinion/index.ts";
import type { FollowerEffect, FollowerHost, FollowerInput } from "../../core/replica/index.ts";
import { readGroup } from "../../core/split/index.ts";
import { StorageError } from "../../io/ports/index.ts";
import { askBytes, askJson, ServerError } from "../client/index.ts";
import type { OpinionRow } from "../gateway/index.ts";
import { HostLoop, type LaterEffect } from "../loop/index.ts";
import { broughtBytesMax, InLine } from "../pace/index.ts";
import { olderHead, readBack } from "../replication/index.ts";
import type { NodeCore, NodeRole } from "./node-core.ts";
import { SplitReachedError } from "./split-reached.ts";
import { systemClock } from "./system-clock.ts";

/** What was accepted no longer ago than this, by the order's clock, is fetched ahead; milliseconds. */
const newsMs = 60_000;
const waitS = 20;
const retryMs = 500;
/** How long a source that lied is left alone. */
const avoidMs = 60_000;
/** Without an answer for so long, a source is taken for dead. */
const deadAfterMs = 30_000;

interface News {
  readonly range: BatchRange;
  readonly note: string | null;
}

function newsShape(protocol: Protocol): Shape<News> {
  return (value, what) => {
    const [range, note] = fields(2)(value, what);
    return {
      range: protocol.rangeShape(range, `${what}.range`),
      note: optional(text(65536))(note, `${what}.note`),
    };
  };
}

/** The loop of a reader: ask sources for what is new, verify, make durable, execute, serve. */
export class ReaderNode implements NodeRole {
  readonly #core: NodeCore;
  readonly #host: FollowerHost;
  readonly #sources: readonly string[];
  readonly #onFatal: (error: unknown) => void;
  readonly #random = new Prng(Math.floor(Math.random() * 2 ** 32));
  readonly #avoidUntil = new Map<string, number>();
  readonly #busy = new Set<string>();
  readonly #verifier: Verifier;
  /** Groups that split from the one that is followed. */
  readonly #splits = new Map<string, string>();
  readonly #sourceOpinions = new Map<string, Omit<OpinionRow, "by" | "about">>();
  readonly #stop = new AbortController();
  readonly #loop: HostLoop<FollowerInput, FollowerEffect>;
  /** Sources whose answer is being taken in, and who waits for it. */
  readonly #taking = new Map<string, () => void>();
  #follows: Promise<void>[] = [];
  #upstream: string | undefined;
  /** Sources that say that nothing was ordered yet. */
  readonly #saidNothing = new Set<string>();
  #problem: string | undefined;
  readonly #inLine = new InLine<PublicKey>(broughtBytesMax);

  constructor(options: {
    readonly core: NodeCore;
    readonly host: FollowerHost;
    readonly sources: readonly string[];
    readonly verifier: Verifier;
    readonly onFatal: (error: unknown) => void;
  }) {
    this.#core = options.core;
    this.#host = options.host;
    this.#sources = options.sources;
    this.#verifier = options.verifier;
    this.#onFatal = options.onFatal;
    const { core, host } = options;
    this.#loop = new HostLoop({
      host,
      store: core.store,
      clock: systemClock,
      perform: (effect) => this.#perform(effect),
      synced: (seconds) => core.metrics.syncSeconds.observe(seconds),
      onFatal: async (error) => {
        this.#stop.abort();
        if (error instanceof StorageError) await core.store.markFailed(error.message);
        options.onFatal(error);
      },
    });
    core.bind(this);
  }

  get state(): MirrorState {
    return this.#host.state;
  }

  get upstream(): string | undefined {
    return this.#upstream;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  get lastCommit(): number {
    return this.#host.lastCommit.index;
  }

  changesHere(): void {
    this.#loop.push({ type: "changes-here" });
  }

  /** A reader says nothing in the order; but what will be published soon it fetches while writers do. */
  onAccepted({ update: { id, record } }: Extract<MirrorEvent, { type: "accepted" }>): void {
    const core = this.#core;
    // What was accepted long ago is published long ago, and perhaps not kept.
    if (Date.now() > this.state.tsMs + newsMs) return;
    const isWanted = (): boolean => this.state.pending.has(id);
    void this.#inLine.run(record.publisher, record.changes.bytes + 1, () =>
      core.untilDone("fetch ahead", async () => {
        const before = core.before(this.state.trees);
        const changes =
          isWanted() && (await core.content.ahead(record.changes, { before, isWanted }));
        if (changes && isWanted()) core.rememberChanges(id, record.changes.digest, changes);
      }),
    );
  }

  onFinished(): void {
    // Nothing was said about it, and what is fetched ahead sees it.
  }

  onComplete(): void {
    void this.#showOlder();
  }

  start(): void {
    this.#loop.push({ type: "start" });
    // One more than may lie or hang: so there is always one that is asked and answers.
    const loops = Math.min(this.#core.network.faults.f + 1, this.#sources.length);
    this.#follows = Array.from({ length: loops }, () => this.#follow());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const taken of this.#taking.values()) taken();
    await Promise.all(this.#follows);
    await this.#loop.stop();
  }

  #perform(effect: LaterEffect<FollowerEffect>): void {
    switch (effect.type) {
      case "batches-needed":
        return this.#readBack(effect);
      case "news-taken":
        return this.#taken(effect.source, effect.fault);
      case "certified":
        this.#core.perform(effect);
        // When all of this turn is done.
        queueMicrotask(() => this.#endIfReached());
        return void this.#showOlder();
      default:
        this.#core.perform(effect);
    }
  }

  #readBack(range: { readonly after: number; readonly until: number }): void {
    void readBack(this.#core, range).then((batches) =>
      this.#loop.push({ type: "batches", batches }),
    );
  }

  // ── following ──

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const source = this.#choose();
      if (source === undefined) {
        if (this.#isForsaken) this.#problem ??= "no source answers";
        this.#problem = this.#splitNote ?? this.#problem;
        await this.#sleep(retryMs);
        continue;
      }
      this.#busy.add(source);
      await this.#ask(source);
      this.#busy.delete(source);
    }
  }

  /** The newest checkpoint that is here, compared or not: asking for it again would give nothing new, at once. */
  get #noted(): { readonly size: number; readonly leaseS: number } {
    const { head, heads } = this.#core;
    const compared = { size: head?.due.size ?? 0, leaseS: heads.leaseS };
    const { waiting } = this.#host;
    return waiting !== undefined && waiting.size > compared.size ? waiting : compared;
  }

  get #progress(): string {
    const { size, leaseS } = this.#noted;
    return `${this.#host.lastCommit.index} ${size} ${leaseS}`;
  }

  async #ask(source: string): Promise<void> {
    const before = this.#progress;
    const startedMs = Date.now();
    try {
      await this.#poll(source);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#core.log.debug({ source, reason: String(error) }, "follow: no answer");
      this.#avoidUntil.set(source, Date.now() + retryMs * 2);
      this.#silent(source, error);
      if (error instanceof ServerError && error.code === "OTHER_GROUP")
        await this.#seeSplit(source);
    }
    // An answer without news that did not wait for any, as it was asked to: the source is left alone for a moment.
    const isNews = before !== this.#progress;
    if (!isNews && Date.now() < startedMs + retryMs)
      this.#avoidUntil.set(
        source,
        Math.max(this.#avoidUntil.get(source) ?? 0, Date.now() + retryMs * 2),
      );
  }

  /** A source follows a group that split from this one: its founding document says so, or it lies. */
  async #seeSplit(source: string): Promise<void> {
    this.#avoidUntil.set(source, Date.now() + avoidMs);
    const url = `${source}/.smalti/splits.json`;
    const report = await askJson<{ groups?: unknown }>(url, { patienceMs: 5000 }).catch(() => ({}));
    const { groups } = report as { groups?: unknown };
    if (!Array.isArray(groups)) return;
    for (const row of groups.slice(0, 16)) {
      const wire = fromBase64(String((row as { wire?: unknown }).wire)) ?? new Uint8Array(0);
      const { network } = this.#core;
      const group = readGroup(wire, { network, verifier: this.#verifier });
      if (!group.ok) continue;
      this.#core.keepSplit(wire);
      const members = group.value.members.map((author) => network.writers[author]?.name);
      this.#splits.set(
        group.value.group,
        `${members.join(", ")}: ${group.value.group.slice(0, 16)}`,
      );
    }
    this.#problem = this.#splitNote ?? this.#problem;
  }

  /** No source has answered as it should when it was asked last. */
  get #isForsaken(): boolean {
    return this.#sources.every((source) => this.#sourceOpinions.get(source)?.opinion !== "ok");
  }

  get #splitNote(): string | undefined {
    if (this.#splits.size === 0) return undefined;
    return `the network has split (${[...this.#splits.values()].join("; ")}); choose with: smalti split follow GROUP`;
  }

  #choose(): string | undefined {
    const now = Date.now();
    const free = this.#sources.filter(
      (source) =>
        !this.#busy.has(source) &&
        (this.#avoidUntil.get(source) ?? 0) <= now &&
        !this.#core.isConvictedSource(source),
    );
    return free[this.#random.below(free.length)];
  }

  /** What this reader thinks of its sources. */
  opinions(): readonly Omit<OpinionRow, "by">[] {
    return this.#sources.map((about) => {
      const said = this.#sourceOpinions.get(about);
      if (this.#core.isConvictedSource(about))
        return {
          about,
          opinion: "corrupt",
          explained: "corrupt: convicted by evidence",
          sinceMs: 0,
        };
      return { about, ...(said ?? { opinion: "ok", explained: "ok: not asked yet", sinceMs: 0 }) };
    });
  }

  #think(source: string, opinion: Opinion, why: string): void {
    const before = this.#sourceOpinions.get(source);
    const sinceMs = before?.opinion === opinion ? before.sinceMs : Date.now();
    this.#sourceOpinions.set(source, { opinion, explained: `${opinion}: ${why}`, sinceMs });
  }

  /** No answer: suspected at first, and dead when it goes on. */
  #silent(source: string, error: unknown): void {
    const before = this.#sourceOpinions.get(source);
    const isLong =
      before !== undefined && before.opinion !== "ok" && Date.now() > before.sinceMs + deadAfterMs;
    const why = `no answer (${error instanceof Error ? error.message : String(error)})`;
    this.#think(source, isLong ? "dead" : before?.opinion === "dead" ? "dead" : "suspected", why);
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }

  async #poll(source: string): Promise<void> {
    const { size, leaseS } = this.#noted;
    const after = `after=${this.#host.lastCommit.index}&size=${size}&lease=${leaseS}`;
    const url = `${source}/.smalti/v1/commits?${after}&wait=${waitS}&group=${this.#core.network.group}`;
    const bytes = await askBytes(url, limits.frameBytesMax, {
      signal: this.#stop.signal,
      patienceMs: (waitS + 15) * 1000,
    });
    const news = read(bytes, newsShape(this.#core.network.consensus), "answer");
    if (!news.ok) return this.#blame(source, news.error);
    await this.#take(source, news.value);
  }

  /** While content is behind, what is all here is shown. */
  async #showOlder(): Promise<void> {
    const source = this.#upstream;
    if (source === undefined) return;
    const older = await olderHead(this.#core, source, this.#verifier).catch(() => undefined);
    if (older === undefined) return;
    this.#core.archive.keepCheckpoint(older.due.size, older.note);
    this.#core.heads.older(older);
  }

  /** Resolves once it is durable and performed. */
  async #take(source: string, { range, note }: News): Promise<void> {
    const isNothing = this.#core.network.consensus.isEmptyRange(range) && note === null;
    if (isNothing && this.#host.lastCommit.index === 0) return this.#sawNothing(source);
    if (isNothing || this.#stop.signal.aborted) return;
    const taken = new Promise<void>((done) => this.#taking.set(source, done));
    this.#loop.push({ type: "news", source, range, note: note ?? undefined });
    await taken;
  }

  #taken(source: string, fault: Fault | undefined): void {
    this.#taking.get(source)?.();
    this.#taking.delete(source);
    if (fault === undefined) {
      this.#upstream = source;
      this.#think(source, "ok", "answers verify");
      this.#problem = undefined;
    } else this.#blame(source, fault);
  }

  /** Where its group ends for it, it goes on with one that split from it. */
  #endIfReached(): void {
    if (!this.#host.isAtEnd || this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#onFatal(new SplitReachedError());
  }

  /** In a network in which nothing was ordered yet, a reader that knows so is ready: one of f+1 sources is honest. */
  #sawNothing(source: string): void {
    this.#saidNothing.add(source);
    const enough = Math.min(this.#sources.length, this.#core.network.faults.f + 1);
    if (this.#saidNothing.size < enough) return;
    this.#upstream ??= source;
    this.#think(source, "ok", "nothing was ordered yet");
  }

  #blame(source: string, fault: Fault): void {
    this.#core.metrics.verifyFailures.inc({ peer: source, kind: fault.code });
    this.#core.log.warn(
      { source, code: fault.code, detail: fault.detail },
      "follow: the source's answer does not verify",
    );
    this.#think(source, "suspected", `its answer does not verify: ${fault.detail}`);
    this.#problem = `${source} gave an answer that does not verify: ${fault.detail}`;
    this.#avoidUntil.set(source, Date.now() + avoidMs);
  }
}
