import { type Author, assert, type Digest, defined, limits } from "../base/index.ts";
import type { AcceptedPayload, Submission } from "../consensus/index.ts";
import { type CommitVote, type DagConfig, refKey } from "./block.ts";
import { type Commit, commitDigest, encodeCommit, genesisCommitDigest } from "./commit.ts";
import type { CommitVotes } from "./commit-votes.ts";
import { decideFrom } from "./decide.ts";
import type { DagEffect } from "./effects.ts";
import type { Entry } from "./entry.ts";
import { type Graph, leadersOf, type SlotPlace } from "./graph.ts";
import { horizonAfter, linearize, medianTime } from "./linearize.ts";

/** Own commit digests kept for comparison with what others vote for. */
const digestsKept = 2000;

/** What ordering tells the machine. */
export interface OrderingOutcome {
  readonly effects: readonly DagEffect[];
  /** Own submissions whose blocks fell below the horizon unordered: they must be proposed again. */
  readonly lost: readonly Submission[];
  /** The horizon moved. */
  readonly isPruned: boolean;
}

/** Turns decisions into commits (`dag.md` §§8–9): the only place where the order grows. */
export class Ordering {
  readonly #config: DagConfig;
  readonly #graph: Graph<Entry>;
  readonly #votes: CommitVotes;
  readonly #digests = new Map<number, Digest>();
  #cursor: SlotPlace = { round: 1, rank: -1 };
  #last: {
    readonly index: number;
    readonly digest: Digest;
    readonly round: number;
    readonly tsMs: number;
  };
  #owedVotes: CommitVote[] = [];
  #owesPayloadVote = false;
  #openPayloads = 0;
  #violation: string | undefined;
  #effects: DagEffect[] = [];
  #lost: Submission[] = [];
  #isPruned = false;

  constructor(config: DagConfig, graph: Graph<Entry>, votes: CommitVotes) {
    this.#config = config;
    this.#graph = graph;
    this.#votes = votes;
    this.#last = {
      index: config.commitsBefore ?? 0,
      digest: genesisCommitDigest(config.group, config.epoch),
      round: 0,
      tsMs: config.genesisTimeMs,
    };
  }

  get last(): { readonly index: number; readonly digest: Digest } {
    return { index: this.#last.index, digest: this.#last.digest };
  }

  /** Rounds at or below can never be ordered any more. */
  get horizon(): number {
    return horizonAfter(this.#last.round, this.#config.gcRounds);
  }

  /** The round of the newest slot that is decided. */
  get decidedRound(): number {
    return this.#cursor.round;
  }

  /** Why nothing may be ordered or signed any more. */
  get violation(): string | undefined {
    return this.#violation;
  }

  /** Payload is in the graph and not ordered: another round is wanted. */
  get hasOpenPayload(): boolean {
    return this.#openPayloads > 0;
  }

  /** A vote on ordered payload is owed: a round is wanted for it, soon. */
  get owesVote(): boolean {
    return this.#owesPayloadVote;
  }

  /** `isWorth`: its payload is worth another round. */
  added(entry: Entry, isWorth: boolean): void {
    entry.isOpen = isWorth && !entry.isEmpty;
    if (entry.isOpen) this.#openPayloads++;
  }

  /** What these authors want ordered is worth a round from now on. */
  reopen(authors: ReadonlySet<Author>): void {
    if (authors.size === 0) return;
    for (const entry of this.#graph.vertices())
      if (!entry.ordered && !entry.isOpen && authors.has(entry.ref.author)) this.added(entry, true);
  }

  #close(entry: Entry): void {
    if (entry.isOpen) this.#openPayloads--;
    entry.isOpen = false;
  }

  /** The commit votes for the next own block; asking takes them. */
  takeVotes(): readonly CommitVote[] {
    const votes = this.#owedVotes;
    this.#owedVotes = [];
    this.#owesPayloadVote = false;
    return votes;
  }

  /** Orders everything that the graph decides. Idempotent. */
  decide(): OrderingOutcome {
    const { rule, leadersPerRound } = this.#config;
    for (const decision of decideFrom(
      { graph: this.#graph, rule, leadersPerRound },
      this.#cursor,
    )) {
      if (decision.kind === "violation") {
        this.#halt(`slot ${decision.slot.round}/${decision.slot.author} has two committed blocks`);
        break;
      }
      // Skips move the cursor too, else trailing ones would be decided again for ever (pitfall 9).
      this.#cursor = decision.slot;
      if (decision.kind === "commit") this.#deliver(decision.block);
      if (this.#violation !== undefined) break;
    }
    return this.#outcome();
  }

  /** Takes order and time of a certified commit; they are not computed again (pitfall 7). */
  adopt(commit: Commit, ordered: readonly Entry[]): OrderingOutcome {
    if (commit.index !== this.#last.index + 1 || commit.prev !== this.#last.digest) {
      this.#halt(`commit ${commit.index} is certified upon another history than this host's`);
    } else if (new Set(ordered.filter((entry) => !entry.ordered)).size < ordered.length) {
      this.#halt(`commit ${commit.index} is certified and orders a block twice`);
    } else {
      this.#cursor = this.#slotOf(commit);
      this.#apply(commit, ordered);
    }
    return this.#outcome();
  }

  /** Compares what f+1 certified with this host's own commit of the same index (pitfall 8). */
  compare(certified: { readonly index: number; readonly digest: Digest }): OrderingOutcome {
    const own = this.#digests.get(certified.index);
    if (own !== undefined && own !== certified.digest) {
      this.#halt(`commit ${certified.index} is ${own} here and certified as ${certified.digest}`);
    }
    return this.#outcome();
  }

  /** Restores place and flags from commits whose leaders stand above the horizon. */
  recover(commits: readonly Commit[]): void {
    const lastCommit = commits.at(-1);
    if (lastCommit === undefined) return;
    for (const commit of commits) this.#remember(commit.index, commitDigest(encodeCommit(commit)));
    const digest = defined(this.#digests.get(lastCommit.index), "the last digest");
    this.#last = {
      index: lastCommit.index,
      digest,
      round: lastCommit.leader.round,
      tsMs: lastCommit.tsMs,
    };
    this.#cursor = this.#slotOf(lastCommit);
    this.#owedVotes = commits.slice(-limits.commitVotesMax).map(({ index }) => ({
      index,
      digest: defined(this.#digests.get(index), "a recent digest"),
    }));
  }

  /** Marks the blocks of a recovered commit; those above the horizon must be in the graph. */
  recoverOrdered(commit: Commit): void {
    for (const ref of commit.blocks) {
      if (ref.round <= this.horizon) continue;
      const entry = defined(
        this.#graph.get(refKey(ref)),
        "an ordered block above the horizon is in the log",
      );
      if (entry.ordered) continue;
      entry.ordered = true;
      entry.submissions = [];
      if (entry.isEmpty) continue;
      this.#close(entry);
      // All may have stopped before they voted for it: it is certified by those who start again, or not at all.
      if (commit.index > this.#votes.endorsedIndex) this.#owesPayloadVote = true;
    }
  }

  #outcome(): OrderingOutcome {
    const outcome = { effects: this.#effects, lost: this.#lost, isPruned: this.#isPruned };
    this.#effects = [];
    this.#lost = [];
    this.#isPruned = false;
    return outcome;
  }

  #halt(detail: string): void {
    this.#violation = detail;
    this.#effects.push({ type: "violation", detail });
  }

  #slotOf({ leader }: Commit): SlotPlace {
    const slots = leadersOf(leader.round, this.#config.rule.n, this.#config.leadersPerRound);
    return defined(
      slots.find((slot) => slot.author === leader.author),
      "a commit's leader leads its round",
    );
  }

  #remember(index: number, digest: Digest): void {
    this.#digests.set(index, digest);
    this.#digests.delete(index - digestsKept);
  }

  #deliver(leader: Entry): void {
    const ordered = linearize(this.#graph, leader, {
      horizon: this.horizon,
      isOrdered: (key) => this.#graph.get(key)?.ordered === true,
      bytesOf: (entry) => entry.block.wire.length,
      blocksMax: limits.commitBlocksMax,
      bytesMax: limits.commitBytesMax,
    });
    const commit: Commit = {
      index: this.#last.index + 1,
      prev: this.#last.digest,
      leader: leader.ref,
      blocks: ordered.map((entry) => entry.ref),
      tsMs: medianTime(this.#graph, leader, this.#last.tsMs),
    };
    assert(commit.tsMs >= this.#last.tsMs, "order time never goes back");
    assert(ordered.length > 0, "a commit orders its leader at least");
    this.#apply(commit, ordered);
  }

  /** The one way into the order, for own decisions and for adopted commits alike. */
  #apply(commit: Commit, ordered: readonly Entry[]): void {
    assert(commit.index === this.#last.index + 1, "commits have no gaps");
    assert(commit.prev === this.#last.digest, "a commit names the one before it");
    assert(ordered.length === commit.blocks.length, "a commit is applied with all its blocks");
    assert(!ordered.some((entry) => entry.ordered), "no block is ordered twice");
    const bytes = encodeCommit(commit);
    const digest = commitDigest(bytes);
    if (this.#conflicts(commit.index, digest)) return;
    this.#remember(commit.index, digest);
    this.#last = { index: commit.index, digest, round: commit.leader.round, tsMs: commit.tsMs };
    this.#effects.push({ type: "persist-commit", commit, bytes });
    const payloads = ordered.flatMap((entry) => this.#order(entry));
    this.#owedVotes.push({ index: commit.index, digest });
    if (this.#owedVotes.length > limits.commitVotesMax) this.#owedVotes.shift();
    if (payloads.length > 0) this.#owesPayloadVote = true;
    this.#effects.push({
      type: "accept",
      batch: { index: commit.index, digest, tsMs: commit.tsMs, payloads },
    });
    this.#prune();
  }

  #order(entry: Entry): AcceptedPayload[] {
    entry.ordered = true;
    if (entry.isEmpty) return [];
    this.#close(entry);
    const tickets = entry.submissions.map((submission) => submission.ticket);
    entry.submissions = [];
    return [{ author: entry.ref.author, segments: entry.block.segments, tickets }];
  }

  /** f+1 writers vouch for another digest: one of them is honest, so this host must not go on (pitfall 8). */
  #conflicts(index: number, digest: Digest): boolean {
    const { certified } = this.#votes;
    const rivals = [...this.#votes.tally(index)].filter(
      ([other, count]) => other !== digest && count > this.#config.rule.f,
    );
    if (certified?.index === index && certified.digest !== digest)
      rivals.push([certified.digest, certified.voters.length]);
    const [rival] = rivals;
    if (rival === undefined) return false;
    this.#halt(`commit ${index} is ${digest} here and ${rival[0]} at ${rival[1]} writers`);
    return true;
  }

  #prune(): void {
    for (const entry of this.#graph.prune(this.horizon)) {
      this.#isPruned = true;
      if (entry.ordered) continue;
      this.#close(entry);
      this.#lost.push(...entry.submissions);
    }
  }
}
