import { Author, assert, Round } from "../base/index.ts";
import { encodePayload, type Pacing, type Submission } from "../consensus/index.ts";
import { sha256 } from "../crypto/index.ts";
import {
  type Block,
  blockSigningBytes,
  type CommitVote,
  type DagConfig,
  encodeHeader,
  genesisRef,
  type Header,
  headerDigest,
  type Ref,
  type VerifiedBlock,
  wireOf,
} from "./block.ts";
import type { Entry } from "./entry.ts";
import { type Graph, leadersOf } from "./graph.ts";
import { type Absence, JoinBudget, type RoundClock } from "./pacing.ts";
import type { PayloadQueue } from "./payload-queue.ts";

/** The one place where a block is signed. */
export interface DagSigner {
  readonly author: Author;
  sign(message: Uint8Array): Uint8Array;
}

/** Rounds after its last block in which a writer that does not come is one that leaves rounds out. */
const leftOutMost = 16;

/** How long a commit vote waits for payload to travel with, milliseconds. */
const voteDelayMs = 20;

export interface ProposerParts {
  readonly config: DagConfig;
  readonly pacing: Pacing;
  readonly signer: DagSigner;
  readonly graph: Graph<Entry>;
  readonly clock: RoundClock;
  readonly absence: Absence;
  readonly queue: PayloadQueue;
}

/** A block ready to be released, or when to ask again; `undefined` if there is nothing to propose. */
export type Proposal =
  | {
      readonly kind: "block";
      readonly block: VerifiedBlock;
      readonly submissions: readonly Submission[];
    }
  | { readonly kind: "wait"; readonly untilMs: number }
  /** There is work, and this round is below the first one in which signing is safe. */
  | { readonly kind: "stuck" };

/** When to propose, upon which parents, and what was signed (`dag.md` §6, §12). */
export class Proposer {
  readonly #parts: ProposerParts;
  /** Writers proven to cheat: not awaited, and referenced only where the quorum needs them. */
  #corrupt: ReadonlySet<Author> = new Set();
  /** Newest block of each author that an own block already has in its past. */
  readonly #included = new Map<Author, number>();
  #lastOwn: { readonly ref: Ref; readonly atMs: number } | undefined;
  #signedRound: number;
  #minRound: number;
  #reachable = 0;
  #isNudged = false;
  /** The round for whose sake leaders were waited for, though there was something to say. */
  #waitedIn = 0;
  #owedSinceMs: number | undefined;
  readonly #joins = new JoinBudget();

  constructor(
    parts: ProposerParts,
    from: { readonly signedRound: number; readonly maySign: boolean },
  ) {
    this.#parts = parts;
    this.#signedRound = from.signedRound;
    this.#minRound = from.maySign ? 1 : Number.POSITIVE_INFINITY;
  }

  get isSigning(): boolean {
    return Number.isFinite(this.#minRound);
  }

  /** Highest round this identity is known here to have signed. */
  get signedRound(): number {
    return this.#signedRound;
  }

  set reachable(count: number) {
    this.#reachable = count;
  }

  /** A returning writer asks for a round; it is made within the budget for joining. */
  nudge(): void {
    this.#isNudged = true;
  }

  /** Payload was ordered: the rounds around it were worth their cost. */
  worked(): void {
    this.#joins.earn();
  }

  /** All that are proven to cheat, as the host has it; returns those that were, and are pardoned. */
  judge(corrupt: ReadonlySet<Author>): ReadonlySet<Author> {
    const pardoned = [...this.#corrupt].filter((author) => !corrupt.has(author));
    this.#corrupt = corrupt;
    this.#parts.absence.convict(corrupt);
    return new Set(pardoned);
  }

  isCorrupt(author: Author): boolean {
    return this.#corrupt.has(author);
  }

  suspend(): void {
    this.#minRound = Number.POSITIVE_INFINITY;
  }

  /** Signing goes on above everything that this identity can have signed, upon its newest block in the graph. */
  resume(minRound: number): void {
    const known = this.#parts.graph.newestOf(
      this.#parts.signer.author,
      Number.POSITIVE_INFINITY,
    )?.ref;
    if (known !== undefined) this.learnOwn(known);
    this.#minRound = Math.max(minRound, this.#signedRound + 1);
  }

  /** An own block from before: read back from the log, or told by others. Returns whether it was news. */
  noticeOwn(round: number): boolean {
    const isNews = round > this.#signedRound;
    this.#signedRound = Math.max(this.#signedRound, round);
    return isNews;
  }

  recoverOwn(block: VerifiedBlock): void {
    this.noticeOwn(block.ref.round);
    this.learnOwn(block.ref);
    for (const parent of block.header.parents) this.#included.set(parent.author, parent.round);
  }

  /** A block of this host that is in the graph. */
  learnOwn(ref: Ref): void {
    if (ref.round > (this.#lastOwn?.ref.round ?? 0))
      this.#lastOwn = { ref, atMs: Number.NEGATIVE_INFINITY };
    this.#signedRound = Math.max(this.#signedRound, ref.round);
  }

  /** `isWanted`: something of consequence waits for another round; a round begun by others is joined in any case. */
  next(
    state: {
      readonly isWanted: boolean;
      readonly owesVote: boolean;
      readonly votes: () => readonly CommitVote[];
    },
    now: { paceMs: number; wallMs: number },
  ): Proposal | undefined {
    const { clock } = this.#parts;
    const { round } = clock;
    if (round < this.#minRound)
      return state.isWanted && this.isSigning ? { kind: "stuck" } : undefined;
    if (round <= this.#signedRound || !this.#isHeard) return undefined;
    const voteDue = this.#voteDueMs(state, now.paceMs);
    const isWanted = state.isWanted || now.paceMs >= voteDue;
    if (!isWanted && !clock.isBegun && !this.#isNudged) {
      return Number.isFinite(voteDue) ? { kind: "wait", untilMs: voteDue } : undefined;
    }
    const untilMs = this.#pauseUntilMs(round, isWanted, now.paceMs);
    if (untilMs !== undefined) return { kind: "wait", untilMs };
    return this.#sign(Round(round), state.votes(), now);
  }

  /** Pacing: the least gap, the awaited leaders, and for rounds without need the budget for joining. */
  #pauseUntilMs(round: number, isWanted: boolean, paceMs: number): number | undefined {
    const { clock, pacing } = this.#parts;
    const earliest = (this.#lastOwn?.atMs ?? Number.NEGATIVE_INFINITY) + pacing.minRoundMs;
    if (paceMs < earliest) return earliest;
    const patience = clock.advancedAtMs + pacing.leaderTimeoutMs;
    if (this.#waitsForLeaders(round, isWanted, paceMs < patience)) return patience;
    const join = isWanted ? undefined : this.#joins.take(paceMs);
    return join?.ok === false ? join.atMs : undefined;
  }

  /** Who does not come though there was something to say keeps this host waiting once, and not again for a while. */
  #waitsForLeaders(round: number, isWanted: boolean, isPatient: boolean): boolean {
    const missing = this.#missingLeaders(round - 1);
    if (isPatient && missing.length > 0) {
      if (isWanted) this.#waitedIn = round;
      return true;
    }
    if (this.#waitedIn === round) for (const author of missing) this.#missed(author, round - 1);
    return false;
  }

  /** Who was here a moment ago leaves rounds out; who was not may be away, or be catching up, and is no truant. */
  #missed(author: Author, round: number): void {
    const newest = this.#parts.graph.newestOf(author, Number.POSITIVE_INFINITY)?.ref.round ?? 0;
    if (round - newest <= leftOutMost) this.#parts.absence.missed(author, round);
  }

  /** A quorum listens: what is proposed will be built upon. */
  get #isHeard(): boolean {
    return this.#reachable >= this.#parts.config.rule.parentQuorum - 1;
  }

  /** When a round is due for the sake of an owed vote alone: a little later, since payload may carry it for nothing. */
  #voteDueMs(
    state: { readonly isWanted: boolean; readonly owesVote: boolean },
    paceMs: number,
  ): number {
    if (!state.owesVote) this.#owedSinceMs = undefined;
    else this.#owedSinceMs ??= paceMs;
    return this.#owedSinceMs === undefined
      ? Number.POSITIVE_INFINITY
      : this.#owedSinceMs + voteDelayMs;
  }

  /** Leaders of a round that are awaited and have not come. */
  #missingLeaders(round: number): Author[] {
    if (round < 1) return [];
    const { config, graph, absence, signer } = this.#parts;
    const leaders = leadersOf(round, config.rule.n, config.leadersPerRound);
    const authors = leaders.map(({ author }) => author);
    return authors.filter((author) => {
      if (author === signer.author) return false;
      // A writer that is in a later round already has left this one out for good.
      const newest = graph.newestOf(author, Number.POSITIVE_INFINITY)?.ref.round ?? 0;
      return newest < round && absence.isAwaited(author, round);
    });
  }

  #sign(
    round: Round,
    votes: readonly CommitVote[],
    now: { paceMs: number; wallMs: number },
  ): Proposal {
    assert(round > this.#signedRound, "no round is signed twice");
    const { config, signer, queue } = this.#parts;
    const submissions = queue.take();
    const segments = submissions.map((submission) => submission.segment);
    const payload = encodePayload(segments);
    const header: Header = {
      group: config.group,
      epoch: config.epoch,
      author: signer.author,
      round,
      tsMs: now.wallMs,
      parents: this.#parents(round),
      payload: { digest: sha256(payload), bytes: payload.length, segments: segments.length },
      commitVotes: votes,
    };
    const bytes = encodeHeader(header);
    const digest = headerDigest(header, bytes);
    const signed = { bytes, signature: signer.sign(blockSigningBytes(digest)) };
    const block: Block = {
      ref: { round, author: signer.author, digest },
      header,
      signed,
      payload,
      segments,
      wire: wireOf(signed, payload),
    };
    this.#signedRound = round;
    this.#isNudged = false;
    this.#lastOwn = { ref: block.ref, atMs: now.paceMs };
    for (const parent of header.parents) this.#included.set(parent.author, parent.round);
    return { kind: "block", block: block as VerifiedBlock, submissions };
  }

  /** Own newest block, then for each other author its newest not yet included, in author order. */
  #parents(round: number): Ref[] {
    const { config, signer } = this.#parts;
    const own = this.#lastOwn?.ref ?? genesisRef(config, signer.author);
    const candidates: Ref[] = [];
    for (let i = 0; i < config.rule.n; i++) {
      const parent = i === signer.author ? undefined : this.#parentOf(Author(i), round);
      if (parent !== undefined) candidates.push(parent);
    }
    const isDirect = (ref: Ref): boolean => ref.round === round - 1;
    const honest = candidates.filter((ref) => !this.#corrupt.has(ref.author));
    const needed = config.rule.parentQuorum - Number(isDirect(own));
    const chosen = honest.filter(isDirect).length >= needed ? honest : candidates;
    assert(chosen.filter(isDirect).length >= needed, "a block names a quorum of parents");
    return [own, ...chosen];
  }

  #parentOf(author: Author, round: number): Ref | undefined {
    const { config, graph } = this.#parts;
    if (round === 1) return genesisRef(config, author);
    const newest = graph.newestOf(author, round)?.ref;
    if (newest === undefined || newest.round <= (this.#included.get(author) ?? 0)) return undefined;
    return round - newest.round > config.gcRounds ? undefined : newest;
  }
}
