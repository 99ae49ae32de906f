import { type Segment, segmentOf } from "../acceptance/index.ts";
import { type Author, limits, type PublicKey, type Result } from "../base/index.ts";
import { type Court, fitsOrder, judge, type Verdict } from "../evidence/index.ts";
import {
  type Conviction,
  type ConvictionRecord,
  decodeConviction,
  messageKinds,
  offenceKey,
  stateKeys,
} from "../mirror/index.ts";
import { decodeFound, encodeFound } from "./found-evidence.ts";

/** A proof that was not ordered for so long is handed in again, milliseconds. */
const orderedWithinMs = 10_000;
/** All reporters of a misdeed find it at once: each waits for those before it, so that one proof is ordered, not n. */
const reporterStepMs = 400;

/** Proofs against hosts that are no writers: so many wait at once, and one is handed in every so often. */
const strangersMax = 256;
const strangerEveryMs = 1000;

interface Pending {
  readonly verdict: Verdict;
  readonly fromMs: number;
  submittedMs: number | undefined;
}

/** Proofs that this host has and the order may not have yet. */
export class Proofs {
  readonly #self: Author;
  readonly #court: Court;
  readonly #get: (key: string) => Uint8Array | undefined;
  /** offence → a proof that the order does not have yet. */
  readonly #pending = new Map<string, Pending>();
  readonly #known = new Set<string>();
  /** Misdeeds of hosts that are no writers: anybody can invent such hosts, so they have a room of their own. */
  readonly #strange = new Set<string>();
  #strangerMs = Number.NEGATIVE_INFINITY;
  #isDirty = false;

  constructor(options: {
    readonly self: Author;
    readonly court: Court;
    readonly get: (key: string) => Uint8Array | undefined;
  }) {
    this.#self = options.self;
    this.#court = options.court;
    this.#get = options.get;
  }

  /** What an earlier run of this host found, and the order did not get. */
  get kept(): readonly Uint8Array[] {
    return decodeFound(this.#get(stateKeys.found));
  }

  /** Proofs that are here and not ordered yet. */
  get found(): readonly Verdict[] {
    return [...this.#pending.values()].map(({ verdict }) => verdict);
  }

  /** Judges a proof and remembers it; `isNews` if its misdeed was not known here. Faults: those of {@link judge}. */
  learn(
    wire: Uint8Array,
    atMs: number,
  ): Result<{ readonly verdict: Verdict; readonly isNews: boolean }> {
    const judged = judge(wire, this.#court);
    if (!judged.ok) return judged;
    const verdict = judged.value;
    const isNews = this.#isNews(verdict);
    if (isNews) {
      const fromMs = atMs + reporterStepMs * this.#rankFor(verdict.author);
      this.#pending.set(verdict.offence, { verdict, fromMs, submittedMs: undefined });
      this.#isDirty = true;
    }
    return { ok: true, value: { verdict, isNews } };
  }

  #isNews({ offence, culprit, author }: Verdict): boolean {
    const known = author === undefined ? this.#strange : this.#known;
    const most = author === undefined ? strangersMax : limits.evidenceKeptMax;
    if (known.has(offence) || known.size >= most) return false;
    known.add(offence);
    return this.#get(offenceKey(offence)) === undefined && !this.#hasEnough(culprit);
  }

  #rankFor(culprit: Author | undefined): number {
    const n = this.#court.network.writers.length;
    return (this.#self - (culprit ?? 0) - 1 + n) % n;
  }

  #record(culprit: PublicKey): ConvictionRecord | undefined {
    const stored = this.#get(stateKeys.conviction(culprit));
    const record = stored === undefined ? undefined : decodeConviction(stored);
    return record?.ok ? record.value : undefined;
  }

  #hasEnough(culprit: PublicKey): boolean {
    return (this.#record(culprit)?.count ?? 0) >= limits.evidencePerHostMax;
  }

  onConvicted({ offence, author }: Conviction): void {
    if (author === undefined) this.#strange.delete(offence);
    else this.#known.add(offence);
    if (this.#pending.delete(offence)) this.#isDirty = true;
  }

  /** What is to be ordered now: those proofs whose turn it is. */
  due(atMs: number): Segment | undefined {
    const wires: Uint8Array[] = [];
    for (const [offence, pending] of this.#pending) {
      if (atMs < this.#dueMs(pending) || wires.length === limits.evidencePerHostMax) continue;
      if (this.#hasEnough(pending.verdict.culprit)) {
        this.#pending.delete(offence);
        this.#isDirty = true;
        continue;
      }
      if (pending.verdict.author === undefined) {
        if (atMs < this.#strangerMs + strangerEveryMs) continue;
        this.#strangerMs = atMs;
      }
      pending.submittedMs = atMs;
      wires.push(pending.verdict.wire);
    }
    return wires.length === 0 ? undefined : segmentOf(messageKinds.evidence, wires);
  }

  #dueMs({ verdict, submittedMs, fromMs }: Pending): number {
    if (!fitsOrder(verdict.wire)) return Number.POSITIVE_INFINITY;
    return submittedMs === undefined ? fromMs : submittedMs + orderedWithinMs;
  }

  /** When {@link due} should be asked again. */
  get wakeAtMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending.values()) {
      const turnMs = pending.verdict.author === undefined ? this.#strangerMs + strangerEveryMs : 0;
      earliest = Math.min(earliest, Math.max(turnMs, this.#dueMs(pending)));
    }
    return earliest;
  }

  /** What is to be kept over a restart, if it changed. */
  takeKept(): ReadonlyMap<string, Uint8Array> | undefined {
    if (!this.#isDirty) return undefined;
    this.#isDirty = false;
    const wires = this.found.map(({ wire }) => wire).filter(fitsOrder);
    return new Map([[stateKeys.found, encodeFound(wires)]]);
  }
}
