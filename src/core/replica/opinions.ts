import { type Author, ok, type Result } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import { type Segment, segmentOf } from "../consensus/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import { messageKinds } from "../mirror/index.ts";
import {
  type DetectorChoice,
  matrixKey,
  type Opinion,
  type OpinionMatrix,
  type Reason,
  readStatement,
  type SignedStatement,
  type Statement,
  signStatement,
  Watch,
} from "../opinion/index.ts";

/** What this host thinks of another one now; what it has signed may be a moment older. */
export interface OpinionView {
  readonly about: Author;
  readonly opinion: Opinion;
  readonly reason: Reason;
}

export interface OpinionOptions {
  readonly network: Network;
  readonly author: Author;
  /** Signs with the host's own key, the one of its links. */
  readonly hostSigner: Pick<Signer, "sign">;
  readonly verifier: Verifier;
  readonly detector: DetectorChoice;
  /** Whether opinions are told to others at all. */
  readonly isPublishing: boolean;
  /** What was ordered before. */
  readonly matrix: OpinionMatrix;
}

/** Least time between two statements about one host, milliseconds. */
const statementEveryMs = 1000;
/** What a detector thinks is said once it has thought so for so long: a hiccup is nobody's business. */
const settledMs = 2000;
/** What was not ordered for so long is said again; and told to peers directly a little after it was said. */
const orderedWithinMs = 10_000;
const tellAfterMs = 2000;
const stalledTellEveryMs = 5000;

/** Statements on their way into the order. */
interface Open {
  readonly serials: Set<number>;
  readonly sinceMs: number;
  readonly signed: readonly SignedStatement[];
  isTold: boolean;
}

/** What this host thinks of the other writers and says of them, and what they told it directly. */
export class Opinions {
  readonly #options: OpinionOptions;
  readonly #others: readonly Author[];
  readonly watch: Watch;
  /** Signed statements that peers told, by {@link matrixKey}: what is known where nothing can be ordered. */
  readonly #told = new Map<string, SignedStatement>();
  /** about → what was said last, and when. */
  readonly #said = new Map<Author, { readonly opinion: Opinion; readonly atMs: number }>();
  /** about → since when it is thought. */
  readonly #thought = new Map<Author, { readonly opinion: Opinion; readonly atMs: number }>();
  #open: Open | undefined;
  #serial = 0;
  #stalledToldMs = 0;
  /** Of whom peers were told directly that it is not "ok", and not yet otherwise. */
  readonly #complained = new Set<Author>();

  constructor(options: OpinionOptions, atMs: number) {
    const { network, author, detector } = options;
    this.#options = options;
    this.#others = network.writers.map(({ index }) => index).filter((index) => index !== author);
    this.watch = new Watch({ others: this.#others, choice: detector, atMs });
    for (const statement of options.matrix.values())
      if (statement.by === author) this.#remember(statement);
  }

  #remember({ about, opinion, serial }: Statement): void {
    this.#said.set(about, { opinion, atMs: Number.NEGATIVE_INFINITY });
    this.#serial = Math.max(this.#serial, serial);
  }

  /** What it thinks of everybody else; `offsetMs` brings the watch's clock to POSIX. */
  views(offsetMs: number): readonly OpinionView[] {
    return this.#others.map((about) => this.view(about, offsetMs));
  }

  view(about: Author, offsetMs: number): OpinionView {
    return {
      about,
      opinion: this.watch.opinionOn(about),
      reason: this.watch.reasonFor(about, offsetMs),
    };
  }

  /** What these told directly, newest of each pair. Of one who is gone, nobody knows whether it still thinks so. */
  toldBy(makers: ReadonlySet<Author>): readonly SignedStatement[] {
    return [...this.#told.values()].filter(({ statement }) => makers.has(statement.by));
  }

  /** Statements on their way: what a peer that comes should know. */
  get open(): readonly SignedStatement[] {
    return this.#open?.signed ?? [];
  }

  /** Own opinions as they are now, signed: what a split is argued with. */
  signedNow(nowMs: number, offsetMs: number): readonly SignedStatement[] {
    return this.#others.map((about) => this.#sign(about, nowMs, offsetMs));
  }

  /** A statement that a peer told directly. Faults: those of {@link readStatement}. */
  hear(wire: Uint8Array): Result<void> {
    const read = readStatement(wire, this.#options.network, this.#options.verifier);
    if (!read.ok) return read;
    const { by, about, serial } = read.value.statement;
    const key = matrixKey(by, about);
    if ((this.#told.get(key)?.statement.serial ?? -1) < serial) this.#told.set(key, read.value);
    return ok(undefined);
  }

  /** It thinks otherwise of somebody than before. */
  onChanged(about: Author, atMs: number): void {
    const opinion = this.watch.opinionOn(about);
    if (this.#thought.get(about)?.opinion !== opinion) this.#thought.set(about, { opinion, atMs });
  }

  onOrdered({ by, serial }: Statement): void {
    if (by !== this.#options.author) return;
    this.#serial = Math.max(this.#serial, serial);
    this.#open?.serials.delete(serial);
    if (this.#open?.serials.size === 0) this.#open = undefined;
  }

  /** What is to be ordered now: what has changed since it was said last, one submission at a time. */
  due(atMs: number, nowMs: number): Segment | undefined {
    if (atMs < this.#dueMs(atMs)) return undefined;
    const due = this.#others.filter((about) => atMs >= this.#dueOn(about));
    const signed = due.map((about) => this.#sign(about, nowMs, nowMs - atMs));
    for (const { statement } of signed)
      this.#said.set(statement.about, { opinion: statement.opinion, atMs });
    const serials = new Set(signed.map(({ statement }) => statement.serial));
    this.#open = { serials, signed, sinceMs: atMs, isTold: false };
    return segmentOf(
      messageKinds.opinion,
      signed.map(({ wire }) => wire),
    );
  }

  /** Never while nothing has changed; not while others are on their way. */
  #dueMs(atMs: number): number {
    if (!this.#options.isPublishing) return Number.POSITIVE_INFINITY;
    const due = Math.min(
      Number.POSITIVE_INFINITY,
      ...this.#others.map((about) => this.#dueOn(about)),
    );
    const openMs = this.#open === undefined ? atMs : this.#open.sinceMs + orderedWithinMs;
    return Math.max(due, openMs);
  }

  /** When a statement on a host may be made; never while what was said last is still what is thought. */
  #dueOn(about: Author): number {
    const said = this.#said.get(about);
    if (this.watch.opinionOn(about) === (said?.opinion ?? "ok")) return Number.POSITIVE_INFINITY;
    const againMs = (said?.atMs ?? Number.NEGATIVE_INFINITY) + statementEveryMs;
    if (this.watch.reasonFor(about, 0).code === "operator") return againMs;
    return Math.max(againMs, (this.#thought.get(about)?.atMs ?? againMs) + settledMs);
  }

  /**
   * While nothing is ordered, peers are told all that is not "ok", now and then, and what has become "ok" since: what a
   * split is argued with.
   */
  takeStalled(atMs: number, nowMs: number): readonly SignedStatement[] {
    if (atMs < this.#stalledToldMs + stalledTellEveryMs) return [];
    this.#stalledToldMs = atMs;
    const isOk = (about: Author): boolean => this.watch.opinionOn(about) === "ok";
    const due = this.#others.filter((about) => !isOk(about) || this.#complained.has(about));
    for (const about of due) {
      if (isOk(about)) this.#complained.delete(about);
      else this.#complained.add(about);
    }
    return due.map((about) => this.#sign(about, nowMs, nowMs - atMs));
  }

  /** Statements that peers are to be told directly, since they are not ordered. */
  takeUntold(atMs: number): readonly SignedStatement[] {
    if (this.#open === undefined || this.#open.isTold) return [];
    if (atMs < this.#open.sinceMs + tellAfterMs) return [];
    this.#open.isTold = true;
    return this.#open.signed;
  }

  #sign(about: Author, nowMs: number, offsetMs: number): SignedStatement {
    const { network, author, hostSigner } = this.#options;
    this.#serial = Math.max(this.#serial + 1, nowMs);
    const { opinion, reason } = this.view(about, offsetMs);
    const statement = { by: author, about, opinion, reason, serial: this.#serial };
    return signStatement(network, statement, hostSigner);
  }

  /** When it should be looked at again, though nothing is seen. */
  wakeAtMs(atMs: number): number {
    const untoldMs =
      this.#open === undefined || this.#open.isTold
        ? Number.POSITIVE_INFINITY
        : this.#open.sinceMs + tellAfterMs;
    const watchMs = this.watch.wakeAtMs(atMs) ?? Number.POSITIVE_INFINITY;
    return Math.min(watchMs, untoldMs, this.#dueMs(atMs));
  }
}
