import { assert, Author, defined, type Digest, limits, Round } from "../../base/index.ts";
import { sha256 } from "../../crypto/index.ts";
import type { AcceptanceMachine, AcceptedPayload } from "../contract.ts";
import { encodePayload } from "../segment.ts";
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
  refKey,
  type SignedHeader,
  type VerifiedBlock,
} from "./block.ts";
import { type Commit, commitDigest, genesisCommitDigest } from "./commit.ts";
import type { CertifiedCommit } from "./commit-range.ts";
import { type CommitCertificate, CommitVotes } from "./commit-votes.ts";
import { decideFrom } from "./decide.ts";
import type { DagEffect, DagInput, DropCode } from "./effects.ts";
import { Graph, leadersOf, type SlotPlace, type Vertex, vertexOf } from "./graph.ts";
import { horizonAfter, linearize, medianTime } from "./linearize.ts";
import { Absence, type Pacing, RoundClock } from "./pacing.ts";
import { PayloadQueue, type Submission } from "./payload-queue.ts";
import { WaitingRoom } from "./waiting-room.ts";

export type { DagEffect, DagInput, DropCode } from "./effects.ts";

/** The one place where a block is signed. */
export interface DagSigner {
  readonly author: Author;
  sign(message: Uint8Array): Uint8Array;
}

/** What a restart found on disk. `blocks` in the order they were written, parents before children. */
export interface DagRecovery {
  readonly blocks: readonly VerifiedBlock[];
  /** Commits whose leaders stand above the horizon, oldest first. */
  readonly commits: readonly Commit[];
  /** Highest round this identity ever signed, from the guard; 0 if none. */
  readonly signedRound: number;
  /** False where the guard or the log cannot vouch for what was signed (`dag.md` §12). */
  readonly maySign: boolean;
}

export interface DagOptions {
  readonly config: DagConfig;
  readonly pacing: Pacing;
  /** Absent for hosts that follow and never sign. */
  readonly signer: DagSigner | undefined;
  readonly recovery: DagRecovery;
}

interface Entry extends Vertex {
  readonly block: VerifiedBlock;
  readonly isEmpty: boolean;
  /** Own submissions inside, until they are ordered. */
  submissions: readonly Submission[];
  ordered: boolean;
}

/** Message acceptance on an uncertified DAG (`dag.md` §§3–9): votes are read off the blocks. */
export class DagAcceptance implements AcceptanceMachine<DagInput, DagEffect> {
  readonly #config: DagConfig;
  readonly #pacing: Pacing;
  readonly #signer: DagSigner | undefined;
  readonly #graph = new Graph<Entry>();
  readonly #waiting = new WaitingRoom();
  readonly #clock: RoundClock;
  readonly #absence: Absence;
  readonly #votes: CommitVotes;
  readonly #queue = new PayloadQueue();
  /** Newest block of each author that an own block already has in its past. */
  readonly #included = new Map<Author, number>();
  #cursor: SlotPlace = { round: 1, rank: -1 };
  #last: { index: number; digest: Digest; round: number; tsMs: number };
  #owedVotes: CommitVote[] = [];
  #owesPayloadVote = false;
  #openPayloads = 0;
  #lastOwn: { ref: Ref; atMs: number } | undefined;
  #signedRound: number;
  #minRound: number;
  #reachable = 0;
  #wantedSinceMs: number | undefined;
  #halted = false;
  #effects: DagEffect[] = [];

  constructor(options: DagOptions) {
    const { config, recovery } = options;
    assert(config.keys.length === config.rule.n, "the rule is of this committee");
    this.#config = config;
    this.#pacing = options.pacing;
    this.#signer = options.signer;
    this.#clock = new RoundClock(config.rule.parentQuorum);
    this.#absence = new Absence(config.rule.f + config.rule.c);
    this.#votes = new CommitVotes(config.rule.n, config.rule.parentQuorum);
    this.#last = {
      index: 0,
      digest: genesisCommitDigest(config.group, config.epoch),
      round: 0,
      tsMs: config.genesisTimeMs,
    };
    this.#signedRound = recovery.signedRound;
    this.#minRound = recovery.maySign ? 1 : Number.POSITIVE_INFINITY;
    this.#recover(recovery);
  }

  /** Index and digest of the last commit made or adopted. */
  get lastCommit(): { readonly index: number; readonly digest: Digest } {
    return { index: this.#last.index, digest: this.#last.digest };
  }

  /** Rounds at or below are forgotten. */
  get horizon(): number {
    return horizonAfter(this.#last.round, this.#config.gcRounds);
  }

  get round(): number {
    return this.#clock.round;
  }

  /** Highest round this identity is known here to have signed. */
  get signedRound(): number {
    return this.#signedRound;
  }

  get pendingBytes(): number {
    return this.#queue.bytes;
  }

  get isSigning(): boolean {
    return this.#signer !== undefined && Number.isFinite(this.#minRound) && !this.#halted;
  }

  get quorumIndex(): number {
    return this.#votes.quorumIndex;
  }

  get certified(): CommitCertificate | undefined {
    return this.#votes.certified;
  }

  /** Sizes of the bounded collections, for metrics and for the limits' tests. */
  get sizes(): { readonly graph: number; readonly waiting: number; readonly pendingBytes: number } {
    return { graph: this.#graph.size, waiting: this.#waiting.size, pendingBytes: this.#queue.bytes };
  }

  /** Own blocks above `round`, oldest first: what a subscriber lacks. */
  ownBlocksAbove(round: number): VerifiedBlock[] {
    const own = this.#signer?.author;
    const blocks: VerifiedBlock[] = [];
    for (const { block, ref } of this.#graph.vertices()) {
      if (ref.author === own && ref.round > round) blocks.push(block);
    }
    return blocks;
  }

  /** The newest block of `author` here, of which a returning host is told. */
  newestOf(author: Author): VerifiedBlock | undefined {
    return this.#graph.newestOf(author, Number.POSITIVE_INFINITY)?.block;
  }

  block(ref: Ref): VerifiedBlock | undefined {
    return this.#graph.get(refKey(ref))?.block;
  }

  missing(): Ref[] {
    return this.#waiting.missing();
  }

  isWanted(ref: Ref): boolean {
    return this.#waiting.isWanted(ref);
  }

  step(input: DagInput, nowMs: number): readonly DagEffect[] {
    this.#effects = [];
    if (!this.#halted) {
      this.#take(input, nowMs);
      this.#decide();
      this.#propose(nowMs);
    }
    return this.#effects;
  }

  #take(input: DagInput, nowMs: number): void {
    switch (input.type) {
      case "block":
        return this.#onBlock(input, nowMs);
      case "certified":
        return this.#onCertified(input, nowMs);
      case "submit":
        return this.#queue.push({ ticket: input.ticket, segment: input.segment });
      case "reachable": {
        const others = this.#config.keys.map((_, i) => Author(i)).filter((author) => author !== this.#signer?.author);
        this.#reachable = input.authors.size;
        return this.#absence.update(input.authors, others);
      }
      case "resume":
        return this.#resume(input.minRound, input.own);
      case "suspend":
        this.#minRound = Number.POSITIVE_INFINITY;
        return;
      case "start":
      case "tick":
        return;
    }
  }

  /** Signing goes on above everything that this identity can have signed, upon its newest known block. */
  #resume(minRound: number, own: Ref | undefined): void {
    const known = this.#signer === undefined ? undefined : this.newestOf(this.#signer.author)?.ref;
    for (const ref of [own, known]) {
      if (ref !== undefined && ref.round > (this.#lastOwn?.ref.round ?? 0)) this.#lastOwn = { ref, atMs: 0 };
    }
    this.#signedRound = Math.max(this.#signedRound, this.#lastOwn?.ref.round ?? 0);
    this.#minRound = Math.max(minRound, this.#signedRound + 1);
  }

  // ── admission: local, may differ between hosts, never of influence on the order (§4) ──

  #onBlock({ block, from, how }: Extract<DagInput, { type: "block" }>, nowMs: number): void {
    this.#votes.observe(block);
    const key = refKey(block.ref);
    const drop = this.#admissionFault(block, key, how);
    if (drop !== undefined) this.#effects.push({ type: "dropped", code: drop, from });
    else this.#insert([{ block, from }], nowMs);
  }

  #admissionFault(block: VerifiedBlock, key: string, how: "pushed" | "fetched"): DropCode | undefined {
    if (block.ref.round <= this.horizon) return "BELOW_HORIZON";
    if (this.#graph.get(key) !== undefined || this.#waiting.has(key)) return "DUPLICATE";
    if (this.#votes.quorumIndex - this.#last.index > limits.commitLagMax) return "COMMIT_LAG";
    if (how === "fetched" || this.#waiting.isWanted(block.ref)) return undefined;
    if (block.ref.round > this.#clock.round + limits.roundsAheadMax) return "FAR_FUTURE";
    return this.#hasTwin(block) ? "TWIN_PUSHED" : undefined;
  }

  /** Twins are refused where they are pushed, and kept where others reference them (pitfall 3). */
  #hasTwin(block: VerifiedBlock): boolean {
    const { round, author } = block.ref;
    const rival = this.#graph.atSlot(round, author)[0]?.block ?? this.#waiting.blockAtSlot(round, author);
    if (rival === undefined) return false;
    this.#reportTwins(rival.signed, block.signed, author);
    return true;
  }

  #reportTwins(first: SignedHeader, second: SignedHeader, author: Author): void {
    this.#effects.push({ type: "equivocation", first, second, author });
  }

  // ── insertion (§5) ──

  #insert(arrivals: readonly { readonly block: VerifiedBlock; readonly from: Author }[], nowMs: number): void {
    const queue = [...arrivals];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { block, from } = next;
      const key = refKey(block.ref);
      if (this.#graph.get(key) !== undefined || block.ref.round <= this.horizon) continue;
      const missing = block.header.parents.filter((parent) => this.#lacks(parent));
      if (missing.length > 0) {
        const fresh = this.#waiting.park(block, missing);
        if (fresh.length > 0) this.#effects.push({ type: "missing", refs: fresh, from });
        continue;
      }
      this.#add(block, nowMs);
      this.#effects.push({ type: "persist-block", block });
      for (const ready of this.#waiting.arrived(key)) queue.unshift({ block: ready, from });
    }
  }

  #lacks(parent: Ref): boolean {
    return parent.round > this.horizon && parent.round > 0 && this.#graph.get(refKey(parent)) === undefined;
  }

  #add(block: VerifiedBlock, nowMs: number, submissions: readonly Submission[] = []): Entry {
    const { ref, header } = block;
    const [twin] = this.#graph.atSlot(ref.round, ref.author);
    if (twin !== undefined) this.#reportTwins(twin.block.signed, block.signed, ref.author);
    const isEmpty = header.payload.segments === 0;
    const entry: Entry = {
      ...vertexOf(ref, header.parents, header.tsMs),
      block,
      isEmpty,
      submissions,
      ordered: false,
    };
    this.#graph.add(entry);
    if (!isEmpty) this.#openPayloads++;
    this.#clock.observe(ref.round, ref.author, nowMs);
    return entry;
  }

  // ── deciding and ordering (§§8–9) ──

  #decide(): void {
    const view = {
      graph: this.#graph,
      rule: this.#config.rule,
      leadersPerRound: this.#config.leadersPerRound,
    };
    for (const decision of decideFrom(view, this.#cursor)) {
      if (decision.kind === "violation") {
        return this.#halt(`slot ${decision.slot.round}/${decision.slot.author} has two committed blocks`);
      }
      // Skips move the cursor too, else trailing ones would be decided again for ever (pitfall 9).
      this.#cursor = decision.slot;
      if (decision.kind === "commit") this.#deliver(decision.block);
      if (this.#halted) return;
    }
  }

  #halt(detail: string): void {
    this.#halted = true;
    this.#effects.push({ type: "violation", detail });
  }

  #deliver(leader: Entry): void {
    const ordered = linearize(this.#graph, leader, {
      horizon: this.horizon,
      isOrdered: (key) => this.#graph.get(key)?.ordered === true,
    });
    const commit: Commit = {
      index: this.#last.index + 1,
      prev: this.#last.digest,
      leader: leader.ref,
      blocks: ordered.map((entry) => entry.ref),
      tsMs: medianTime(this.#graph, leader, this.#last.tsMs),
    };
    this.#apply(commit, ordered);
  }

  /** The one way into the order, for own decisions and for adopted commits alike. */
  #apply(commit: Commit, ordered: readonly Entry[]): void {
    const digest = commitDigest(commit);
    if (this.#conflicts(commit.index, digest)) return;
    this.#last = { index: commit.index, digest, round: commit.leader.round, tsMs: commit.tsMs };
    this.#effects.push({ type: "persist-commit", commit, digest });
    const payloads: AcceptedPayload[] = [];
    for (const entry of ordered) {
      entry.ordered = true;
      if (entry.isEmpty) continue;
      this.#openPayloads--;
      const tickets = entry.submissions.map((submission) => submission.ticket);
      payloads.push({ author: entry.ref.author, segments: entry.block.segments, tickets });
      entry.submissions = [];
    }
    this.#owedVotes.push({ index: commit.index, digest });
    if (this.#owedVotes.length > limits.commitVotesMax) this.#owedVotes.shift();
    if (payloads.length > 0) this.#owesPayloadVote = true;
    this.#effects.push({ type: "accept", batch: { index: commit.index, digest, tsMs: commit.tsMs, payloads } });
    this.#onHorizon();
  }

  /** f+1 writers vouch for another digest: at least one of them is honest, and so this host must not go on (pitfall 8). */
  #conflicts(index: number, digest: Digest): boolean {
    for (const [other, count] of this.#votes.tally(index)) {
      if (other === digest || count <= this.#config.rule.f) continue;
      this.#halt(`commit ${index} is ${digest} here and ${other} at ${count} writers`);
      return true;
    }
    return false;
  }

  #onHorizon(): void {
    const lost: Submission[] = [];
    for (const entry of this.#graph.prune(this.horizon)) {
      if (entry.ordered) continue;
      if (!entry.isEmpty) this.#openPayloads--;
      lost.push(...entry.submissions);
    }
    // Own blocks that fell below the horizon unordered can never be ordered: their payload goes again.
    if (lost.length > 0) this.#queue.unshift(lost);
    const released = this.#waiting.onHorizon(this.horizon);
    if (released.length === 0) return;
    const from = this.#signer?.author ?? Author(0);
    this.#insert(released.map((block) => ({ block, from })), this.#clock.advancedAtMs);
  }

  // ── commit sync (§11) ──

  #onCertified({ commits, voters }: Extract<DagInput, { type: "certified" }>, nowMs: number): void {
    const next = commits.filter(({ commit }) => commit.index > this.#last.index);
    const [first] = next;
    const last = commits.at(-1);
    if (last === undefined) return;
    if (first === undefined) return void this.#checkSame(commits);
    if (first.commit.index !== this.#last.index + 1 || first.commit.prev !== this.#last.digest) {
      return this.#halt(`commit ${first.commit.index} is certified upon another history than this host's`);
    }
    for (const certified of next) {
      this.#adopt(certified, nowMs);
      if (this.#halted) return;
    }
    this.#votes.restartAt({ index: last.commit.index, digest: last.digest, voters });
  }

  #checkSame(commits: readonly CertifiedCommit[]): void {
    const same = commits.find(({ commit }) => commit.index === this.#last.index);
    if (same !== undefined && same.digest !== this.#last.digest) {
      this.#halt(`commit ${same.commit.index} is certified with another digest than this host's`);
    }
  }

  /** Takes order and time as certified; they are not computed again (pitfall 7). */
  #adopt({ commit, blocks }: CertifiedCommit, nowMs: number): void {
    const ordered: Entry[] = [];
    for (const block of blocks) {
      const key = refKey(block.ref);
      const known = this.#graph.get(key);
      this.#waiting.remove(key);
      if (known !== undefined) ordered.push(known);
      else {
        ordered.push(this.#add(block, nowMs));
        this.#effects.push({ type: "persist-block", block });
        const ready = this.#waiting.arrived(key);
        this.#insert(ready.map((waiting) => ({ block: waiting, from: block.ref.author })), nowMs);
      }
    }
    const slots = leadersOf(commit.leader.round, this.#config.rule.n, this.#config.leadersPerRound);
    this.#cursor = defined(slots.find((slot) => slot.author === commit.leader.author), "a commit's leader leads its round");
    this.#apply(commit, ordered);
  }

  // ── proposing (§6) ──

  /** Work that needs another round: payload to propose or to order, or a vote that others wait for. */
  get #wantsRound(): boolean {
    return !this.#queue.isEmpty || this.#openPayloads > 0 || this.#owesPayloadVote || this.#clock.isBegun;
  }

  #propose(nowMs: number): void {
    // A host alone makes its quorum itself: it goes on until nothing is left to order.
    while (this.#proposeOnce(nowMs)) this.#decide();
  }

  #proposeOnce(nowMs: number): boolean {
    const round = this.#clock.round;
    const signer = this.#signer;
    if (signer === undefined || this.#halted || round < this.#minRound || round <= this.#signedRound) return false;
    if (this.#reachable < this.#config.rule.parentQuorum - 1) return false;
    if (!this.#wantsRound) {
      this.#wantedSinceMs = undefined;
      return false;
    }
    this.#wantedSinceMs ??= nowMs;
    const earliest = (this.#lastOwn?.atMs ?? Number.NEGATIVE_INFINITY) + this.#pacing.minRoundMs;
    if (nowMs < earliest) return this.#wakeAt(earliest);
    const patience = Math.max(this.#clock.advancedAtMs, this.#wantedSinceMs) + this.#pacing.leaderTimeoutMs;
    if (nowMs < patience && !this.#hasLeaders(round - 1)) return this.#wakeAt(patience);
    this.#release(signer, Round(round), nowMs);
    return true;
  }

  #wakeAt(atMs: number): false {
    this.#effects.push({ type: "wake", atMs });
    return false;
  }

  #hasLeaders(round: number): boolean {
    if (round < 1) return true;
    const leaders = leadersOf(round, this.#config.rule.n, this.#config.leadersPerRound);
    return leaders.every(
      ({ author }) => !this.#absence.isAwaited(author) || this.#graph.atSlot(round, author).length > 0,
    );
  }

  /** Signs and releases the block of a round. Persisting comes first in the effects, and so first in the world. */
  #release(signer: DagSigner, round: Round, nowMs: number): void {
    assert(round > this.#signedRound, "no round is signed twice");
    const submissions = this.#queue.take();
    const block = this.#sign(signer, round, { submissions, nowMs });
    this.#signedRound = round;
    this.#lastOwn = { ref: block.ref, atMs: nowMs };
    this.#owedVotes = [];
    this.#owesPayloadVote = false;
    this.#wantedSinceMs = undefined;
    for (const parent of block.header.parents) this.#included.set(parent.author, parent.round);
    this.#effects.push({ type: "persist-block", block });
    this.#effects.push({ type: "guard", round, digest: block.ref.digest });
    this.#add(block, nowMs, submissions);
    this.#votes.observe(block);
    this.#effects.push({ type: "broadcast", block });
  }

  #sign(
    signer: DagSigner,
    round: Round,
    content: { readonly submissions: readonly Submission[]; readonly nowMs: number },
  ): VerifiedBlock {
    const segments = content.submissions.map((submission) => submission.segment);
    const payload = encodePayload(segments);
    const header: Header = {
      group: this.#config.group,
      epoch: this.#config.epoch,
      author: signer.author,
      round,
      tsMs: content.nowMs,
      parents: this.#parents(signer.author, round),
      payload: { digest: sha256(payload), bytes: payload.length, segments: segments.length },
      commitVotes: this.#owedVotes,
      evidence: [],
    };
    const bytes = encodeHeader(header);
    const digest = headerDigest(bytes);
    const signed = { bytes, signature: signer.sign(blockSigningBytes(digest)) };
    const block: Block = { ref: { round, author: signer.author, digest }, header, signed, payload, segments };
    return block as VerifiedBlock;
  }

  /** Own newest block, then for each other author its newest not yet included, in author order. */
  #parents(own: Author, round: number): Ref[] {
    const parents: Ref[] = [this.#lastOwn?.ref ?? genesisRef(this.#config, own)];
    let direct = parents[0]?.round === round - 1 ? 1 : 0;
    for (let i = 0; i < this.#config.rule.n; i++) {
      const author = Author(i);
      if (author === own) continue;
      const parent = this.#parentOf(author, round);
      if (parent === undefined) continue;
      parents.push(parent);
      if (parent.round === round - 1) direct++;
    }
    assert(direct >= this.#config.rule.parentQuorum, "a block names a quorum of parents");
    return parents;
  }

  #parentOf(author: Author, round: number): Ref | undefined {
    if (round === 1) return genesisRef(this.#config, author);
    const newest = this.#graph.newestOf(author, round)?.ref;
    if (newest === undefined || newest.round <= (this.#included.get(author) ?? 0)) return undefined;
    return round - newest.round > this.#config.gcRounds ? undefined : newest;
  }

  // ── restart (§12) ──

  #recover({ blocks, commits }: DagRecovery): void {
    const lastCommit = commits.at(-1);
    if (lastCommit !== undefined) {
      const { index, leader, tsMs } = lastCommit;
      this.#last = { index, digest: commitDigest(lastCommit), round: leader.round, tsMs };
      const slots = leadersOf(leader.round, this.#config.rule.n, this.#config.leadersPerRound);
      this.#cursor = defined(slots.find((slot) => slot.author === leader.author), "a commit's leader leads its round");
      this.#owedVotes = commits.slice(-limits.commitVotesMax).map((c) => ({ index: c.index, digest: commitDigest(c) }));
    }
    for (const block of blocks) {
      if (block.ref.round > this.horizon && this.#graph.get(refKey(block.ref)) === undefined) this.#recoverBlock(block);
    }
    for (const { blocks: refs } of commits) {
      for (const ref of refs) {
        const entry = this.#graph.get(refKey(ref));
        if (entry === undefined || entry.ordered) continue;
        entry.ordered = true;
        entry.submissions = [];
        if (!entry.isEmpty) this.#openPayloads--;
      }
    }
    this.#effects = [];
  }

  #recoverBlock(block: VerifiedBlock): void {
    const isOwn = block.ref.author === this.#signer?.author;
    const submissions = isOwn ? block.segments.map((segment) => ({ ticket: 0, segment })) : [];
    this.#add(block, 0, submissions);
    this.#votes.observe(block);
    if (!isOwn) return;
    if (block.ref.round >= (this.#lastOwn?.ref.round ?? 0)) this.#lastOwn = { ref: block.ref, atMs: 0 };
    this.#signedRound = Math.max(this.#signedRound, block.ref.round);
    for (const parent of block.header.parents) this.#included.set(parent.author, parent.round);
  }
}
