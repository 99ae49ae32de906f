import { type Court, evidenceId, fitsOrder, judge, type Verdict } from "../accountability/index.ts";
import {
  Allowance,
  type Author,
  type Digest,
  fail,
  limits,
  type PublicKey,
  type Result,
} from "../base/index.ts";
import { fitsPayload, type Segment, segmentOf } from "../consensus/index.ts";
import {
  type Conviction,
  type ConvictionRecord,
  decodeConviction,
  messageKinds,
  offenceKey,
  stateKeys,
} from "../mirror/index.ts";
import { decodeFound, encodeFound } from "./found-evidence.ts";

/** Between two handings in: the newest takes the place of what is not in a block yet, milliseconds. */
const apartMs = 500;
/** A proof that was not ordered for so long is handed in again, milliseconds. */
const orderedWithinMs = 10_000;
/** All reporters of a misdeed find it at once: each waits for those before it, so that one proof is ordered, not n. */
const reporterStepMs = 400;
/**
 * Of each teller one proof against a host that is no writer is handed in every so often, milliseconds, after a few at
 * once: a flood of invented ones pushes true ones out of their places in hours, not in minutes.
 */
const strangers = { everyMs: 10_000, atOnce: 4 };
/** Proofs whose verdict is remembered, so that a repetition costs no signature check. */
const judgedMax = 1024;
/** Misdeeds of one writer that are remembered; of a cheater that goes on and on the oldest are forgotten. */
const knownMax = 1024;
const rememberedBytesMax = 16_384;

/** Who brought a proof: a peer, or this host itself and its operator. */
export type Teller = Author | "self";

interface Pending {
  readonly verdict: Verdict;
  readonly teller: Teller;
  readonly fromMs: number;
  submittedMs: number | undefined;
}

/**
 * Proofs that this host has and the order may not have yet. Bounded per cause: of a writer so many misdeeds as the order
 * takes, of hosts that are no writers (anybody can invent some) so many as each teller has room for.
 */
export class Proofs {
  readonly #self: Author;
  readonly #court: Court;
  readonly #get: (key: string) => Uint8Array | undefined;
  /** offence → a proof that the order does not have yet. */
  readonly #pending = new Map<string, Pending>();
  /** Writers → their misdeeds that were seen here. */
  readonly #known = new Map<PublicKey, Set<string>>();
  readonly #strangers = new Allowance<Teller>(strangers);
  readonly #judged = new Map<Digest, Result<Verdict>>();
  #isDirty = false;
  #nextMs = Number.NEGATIVE_INFINITY;

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

  /**
   * Judges a proof and remembers it; `isNews` if its misdeed was not known here. Faults: those of {@link judge}, and
   * TOO_MANY_STRANGERS where the teller has no room for proofs against hosts that are no writers.
   */
  learn(
    wire: Uint8Array,
    from: { readonly teller: Teller; readonly atMs: number },
  ): Result<{ readonly verdict: Verdict; readonly isNews: boolean }> {
    const judged = this.#judge(wire);
    if (!judged.ok) return judged;
    const verdict = judged.value;
    if (!this.#isNews(verdict)) return { ok: true, value: { verdict, isNews: false } };
    if (verdict.author === undefined && this.#strangersOf(from.teller) >= limits.strangerProofsMax)
      return fail(
        "TOO_MANY_STRANGERS",
        "too many proofs from there wait to be ordered; send it later",
      );
    const fromMs = from.atMs + reporterStepMs * this.#rankFor(verdict.author);
    const { teller } = from;
    this.#pending.set(verdict.offence, { verdict, teller, fromMs, submittedMs: undefined });
    this.#isDirty = true;
    return { ok: true, value: { verdict, isNews: true } };
  }

  #judge(wire: Uint8Array): Result<Verdict> {
    const id = evidenceId(wire);
    const before = this.#judged.get(id);
    if (before !== undefined) return before;
    const judged = judge(wire, this.#court);
    // A long one is not kept for it: judging it again costs little more than its hash.
    if (wire.length <= rememberedBytesMax) this.#judged.set(id, judged);
    for (const oldest of this.#judged.keys()) {
      if (this.#judged.size <= judgedMax) break;
      this.#judged.delete(oldest);
    }
    return judged;
  }

  /** True at the first sight of a misdeed of a writer; what is pardoned is no news either. */
  #isFirst({ culprit, author, offence }: Verdict): boolean {
    if (author === undefined) return true;
    const known = this.#known.get(culprit) ?? new Set<string>();
    if (known.has(offence)) return false;
    this.#known.set(culprit, known.add(offence));
    for (const oldest of known) {
      if (known.size <= knownMax) break;
      known.delete(oldest);
    }
    return true;
  }

  #isNews(verdict: Verdict): boolean {
    const { offence, culprit, author } = verdict;
    if (this.#pending.has(offence) || !this.#isFirst(verdict)) return false;
    if (author !== undefined && this.#pendingOf(culprit) >= limits.evidencePerHostMax) return false;
    return this.#get(offenceKey(offence)) === undefined && !this.#hasEnough(culprit);
  }

  #pendingOf(culprit: PublicKey): number {
    let count = 0;
    for (const { verdict } of this.#pending.values()) if (verdict.culprit === culprit) count++;
    return count;
  }

  #strangersOf(teller: Teller): number {
    let count = 0;
    for (const pending of this.#pending.values())
      if (pending.teller === teller && pending.verdict.author === undefined) count++;
    return count;
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

  onConvicted({ offence }: Conviction): void {
    if (this.#pending.delete(offence)) this.#isDirty = true;
  }

  /** What is to be ordered now: those proofs whose turn it is, as many as one payload takes. */
  due(atMs: number): Segment | undefined {
    let due: { readonly segment: Segment; readonly chosen: readonly Pending[] } | undefined;
    // The short ones first: one proof convicts, and whoever signs long ones must not keep the others waiting.
    const byLength = [...this.#pending].sort(
      ([, a], [, b]) => a.verdict.wire.length - b.verdict.wire.length,
    );
    for (const [offence, pending] of byLength) {
      if (atMs < this.#turnMs(pending) || this.#isNeedless(offence, pending)) continue;
      const chosen = [...(due?.chosen ?? []), pending];
      const wires = chosen.map(({ verdict }) => verdict.wire);
      const segment = segmentOf(messageKinds.evidence, wires);
      if (!fitsPayload(segment)) break;
      due = { segment, chosen };
      pending.submittedMs = atMs;
      if (pending.verdict.author === undefined) this.#strangers.take(pending.teller, atMs);
      if (chosen.length === limits.evidencePerHostMax) break;
    }
    if (due !== undefined) this.#nextMs = atMs + apartMs;
    return due?.segment;
  }

  /** The order has as many of the culprit's misdeeds as it takes: another one is forgotten. */
  #isNeedless(offence: string, { verdict }: Pending): boolean {
    if (!this.#hasEnough(verdict.culprit)) return false;
    this.#pending.delete(offence);
    this.#isDirty = true;
    return true;
  }

  #turnMs(pending: Pending): number {
    const { verdict, submittedMs, fromMs, teller } = pending;
    if (!fitsOrder(verdict.wire)) return Number.POSITIVE_INFINITY;
    const ownMs = submittedMs === undefined ? fromMs : submittedMs + orderedWithinMs;
    const readyMs = verdict.author === undefined ? this.#strangers.readyMs(teller) : ownMs;
    return Math.max(ownMs, readyMs, this.#nextMs);
  }

  /** When {@link due} should be asked again. */
  get wakeAtMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending.values())
      earliest = Math.min(earliest, this.#turnMs(pending));
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
