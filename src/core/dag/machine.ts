import { Author, assert, type Digest, limits, MonotonicClock } from "../base/index.ts";
import { fitsPayload, type Submission } from "../consensus/index.ts";
import { Admission } from "./admission.ts";
import { type DagConfig, type Ref, refKey, type VerifiedBlock } from "./block.ts";
import type { CertifiedCommit, CertifiedRange } from "./commit-range.ts";
import { type CommitCertificate, CommitVotes } from "./commit-votes.ts";
import type { DagEffect, DagInput, DagSizes } from "./effects.ts";
import { type Entry, entryOf } from "./entry.ts";
import { Graph } from "./graph.ts";
import { KnownBlocks } from "./known-blocks.ts";
import type { DagOptions, DagRecovery } from "./options.ts";
import { Ordering, type OrderingOutcome } from "./ordering.ts";
import { Absence, RoundClock } from "./pacing.ts";
import { PayloadQueue } from "./payload-queue.ts";
import { Proposer } from "./proposer.ts";
import { Tips } from "./tips.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** Time after which a writer that needs a round asks again, milliseconds. */
const stuckMs = 250;

interface Arrival {
  readonly block: VerifiedBlock;
  readonly from: Author;
}

/** Consensus on an uncertified DAG (`dag.md` §§3–9): votes are read off the blocks. */
export class DagMachine {
  readonly #config: DagConfig;
  readonly #self: Author | undefined;
  readonly #graph = new Graph<Entry>();
  readonly #waiting: WaitingRoom;
  readonly #time = new MonotonicClock();
  readonly #clock: RoundClock;
  readonly #absence: Absence;
  readonly #votes: CommitVotes;
  readonly #queue = new PayloadQueue();
  readonly #ordering: Ordering;
  readonly #proposer: Proposer | undefined;
  readonly #tips = new Tips();
  readonly admission: Admission;
  /** What is in memory of others and of its own. */
  readonly blocks: KnownBlocks;
  #isPaused = false;
  /** The graph has something that ordering has not looked at. */
  #isGrown = true;
  /** The certificate that this host's own commits were last compared with. */
  #compared: CommitCertificate | undefined;
  #effects: DagEffect[] = [];

  constructor(options: DagOptions) {
    const { config, recovery, signer, pacing } = options;
    assert(config.keys.length === config.rule.n, "the rule is of this committee");
    this.#config = config;
    this.#self = signer?.author;
    this.#waiting = new WaitingRoom(config.rule.n, (ref) => this.#tips.remember(ref));
    this.#clock = new RoundClock(config.rule.parentQuorum);
    this.#absence = new Absence(config.rule.n, config.rule.f + config.rule.c);
    this.#votes = new CommitVotes(config.rule.n, config.rule.f + 1);
    this.#ordering = new Ordering(config, this.#graph, this.#votes);
    this.admission = new Admission({
      n: config.rule.n,
      graph: this.#graph,
      waiting: this.#waiting,
      tips: this.#tips,
      clock: this.#clock,
      votes: this.#votes,
      ordering: this.#ordering,
    });
    this.blocks = new KnownBlocks({
      self: this.#self,
      graph: this.#graph,
      waiting: this.#waiting,
      ordering: this.#ordering,
    });
    const parts = {
      config,
      pacing,
      graph: this.#graph,
      clock: this.#clock,
      absence: this.#absence,
      queue: this.#queue,
    };
    this.#proposer = signer && new Proposer({ ...parts, signer }, recovery);
    this.#recover(recovery);
  }

  /** Index and digest of the last commit made or adopted. */
  get lastCommit(): { readonly index: number; readonly digest: Digest } {
    return this.#ordering.last;
  }

  /** Rounds at or below are forgotten. */
  get horizon(): number {
    return this.#ordering.horizon;
  }

  /** The round to propose in. */
  get round(): number {
    return this.#clock.round;
  }

  /** Highest round this identity is known here to have signed. */
  get signedRound(): number {
    return this.#proposer?.signedRound ?? 0;
  }

  get isSigning(): boolean {
    if (this.#isPaused || this.#ordering.violation !== undefined) return false;
    return this.#proposer?.isSigning === true;
  }

  /** Something waits to be ordered. */
  get wantsRound(): boolean {
    return !this.#queue.isEmpty || this.#ordering.hasOpenPayload;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** How far an honest writer is at least, by f+1 votes. */
  get endorsedIndex(): number {
    return this.#votes.endorsedIndex;
  }

  /** The newest commit with f+1 votes. */
  get certified(): CommitCertificate | undefined {
    return this.#votes.certified;
  }

  get sizes(): DagSizes {
    return {
      graph: this.#graph.size,
      waiting: this.#waiting.size,
      fullness: this.#waiting.fullness,
      pendingBytes: this.#queue.bytes,
      votes: this.#votes.size,
    };
  }

  /** The round of the newest slot that is decided. */
  get decidedRound(): number {
    return this.#ordering.decidedRound;
  }

  block(ref: Ref): VerifiedBlock | undefined {
    return this.#graph.get(refKey(ref))?.block;
  }

  step(input: DagInput, nowMs: number): readonly DagEffect[] {
    this.#effects = [];
    if (this.#ordering.violation === undefined) {
      const paceMs = this.#time.read(nowMs);
      this.#take(input, paceMs);
      this.#order(paceMs);
      this.#propose({ paceMs, wallMs: nowMs });
    }
    return this.#effects;
  }

  #take(input: DagInput, paceMs: number): void {
    switch (input.type) {
      case "block":
        return this.#onBlock(input, paceMs);
      case "certified":
        return this.#onCertified(input, paceMs);
      case "submit":
        assert(fitsPayload(input.segment), "a submission fits a block");
        return this.#queue.push(input);
      case "reachable": {
        const others = this.#config.keys
          .map((_, i) => Author(i))
          .filter((author) => author !== this.#self);
        if (this.#proposer !== undefined) this.#proposer.reachable = input.authors.size;
        return this.#absence.update(input.authors, others);
      }
      case "standing":
        // What a pardoned writer wanted ordered before is a reason for a round again.
        this.#ordering.reopen(this.#proposer?.judge(input.corrupt) ?? new Set());
        return this.#absence.shun(input.shunned);
      case "resume":
        return this.#proposer?.resume(input.minRound);
      case "suspend":
        return this.#proposer?.suspend();
      case "pause":
        this.#isPaused = input.isPaused;
        return;
      case "inventory":
        return this.#onInventory(input);
      case "nudge":
        return this.#proposer?.nudge();
      case "start":
      case "tick":
        return;
    }
  }

  // ── admission: local, may differ between hosts, never of influence on the order (§4) ──

  #onBlock({ block, from, how }: Extract<DagInput, { type: "block" }>, paceMs: number): void {
    // Before any drop, else lag would go unnoticed (pitfall 18).
    this.#votes.observe(block);
    this.#noticeOwn(block.ref);
    const { code, rival } = this.admission.judge(block, how);
    if (rival !== undefined) this.#reportTwins(rival, block);
    if (code === undefined) return this.#insert([{ block, from }], paceMs);
    this.#effects.push({ type: "dropped", code, from });
    const upon = code === "ON_REFUSED" ? block.header.parents[0] : undefined;
    if (code === "TWIN_PUSHED" || upon !== undefined)
      this.#waiting.refuse({ ref: block.ref, upon });
    if (code !== "COMMIT_LAG" && code !== "FAR_FUTURE") return;
    this.#tips.remember(block.ref);
  }

  /** A block of this host that it does not know: it must not sign until it knows what else there is (§12). */
  #noticeOwn(ref: Ref): void {
    if (ref.author !== this.#self || this.#proposer === undefined) return;
    const wasSigning = this.#proposer.isSigning;
    if (!this.#proposer.noticeOwn(ref.round)) return;
    this.#proposer.suspend();
    if (wasSigning) this.#effects.push({ type: "amnesia", round: ref.round });
  }

  #reportTwins({ signed: first }: VerifiedBlock, { signed: second, ref }: VerifiedBlock): void {
    const { author, round } = ref;
    this.#effects.push({ type: "equivocation", first, second, author, round });
  }

  #onInventory({ refs, from }: Extract<DagInput, { type: "inventory" }>): void {
    const here = (ref: Ref): boolean =>
      !this.admission.lacks(ref) || ref.round > this.#clock.round + limits.roundsAheadMax;
    const lacking = refs.filter((ref) => !here(ref));
    this.#waiting.name(lacking, from);
    if (lacking.length > 0) this.#effects.push({ type: "missing", refs: lacking, from });
  }

  // ── insertion (§5) ──

  #insert(arrivals: readonly Arrival[], paceMs: number): void {
    const queue = [...arrivals];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { block, from } = next;
      const key = refKey(block.ref);
      if (this.#graph.get(key) !== undefined || block.ref.round <= this.horizon) continue;
      const missing = block.header.parents.filter((parent) => this.admission.lacks(parent));
      if (missing.length > 0) {
        const fresh = this.#waiting.park(block, missing);
        if (fresh.length > 0) this.#effects.push({ type: "missing", refs: fresh, from });
        continue;
      }
      this.#add(block, paceMs);
      this.#effects.push({ type: "persist-block", block });
      for (const ready of this.#waiting.arrived(key)) queue.unshift({ block: ready, from });
    }
  }

  #add(block: VerifiedBlock, paceMs: number, submissions: readonly Submission[] = []): Entry {
    const { ref } = block;
    const [twin] = this.#graph.atSlot(ref.round, ref.author);
    if (twin !== undefined) this.#reportTwins(twin.block, block);
    const entry = entryOf(block, submissions);
    this.#graph.add(entry);
    // An own block from before the disk was lost, which others had.
    if (ref.author === this.#self) this.#proposer?.learnOwn(ref);
    // What a cheater alone wants ordered is no reason for another round; of its first twin the host does not know yet.
    const isCheat = twin !== undefined || this.#proposer?.isCorrupt(ref.author) === true;
    this.#ordering.added(entry, !isCheat);
    this.#isGrown = true;
    this.#absence.came(ref.author, this.#clock.lateness(ref.round, paceMs));
    this.#clock.observe(ref.round, ref.author, paceMs);
    return entry;
  }

  // ── ordering (§§8–9) and commit sync (§11) ──

  #order(paceMs: number): void {
    if (this.#isGrown) {
      this.#isGrown = false;
      this.#settle(this.#ordering.decide(), paceMs);
    }
    const { certified } = this.#votes;
    if (certified === this.#compared || this.#ordering.violation !== undefined) return;
    this.#compared = certified;
    if (certified !== undefined) this.#settle(this.#ordering.compare(certified), paceMs);
  }

  #settle({ effects, lost, isPruned }: OrderingOutcome, paceMs: number): void {
    this.#effects.push(...effects);
    if (effects.some((effect) => effect.type === "accept" && effect.batch.payloads.length > 0))
      this.#proposer?.worked();
    // Own blocks that fell below the horizon unordered can never be ordered: their payload goes again.
    if (lost.length > 0) this.#queue.unshift(lost);
    const released = isPruned ? this.#waiting.onHorizon(this.horizon) : [];
    const from = this.#self ?? Author(0);
    if (released.length > 0)
      this.#insert(
        released.map((block) => ({ block, from })),
        paceMs,
      );
  }

  #onCertified({ commits, certificate }: CertifiedRange, paceMs: number): void {
    this.#isGrown = true;
    this.#votes.restartAt(certificate);
    for (const certified of commits) {
      if (certified.commit.index > this.#ordering.last.index) this.#adopt(certified, paceMs);
      if (this.#ordering.violation !== undefined) return;
    }
  }

  #adopt({ commit, blocks }: CertifiedCommit, paceMs: number): void {
    const ordered: Entry[] = [];
    for (const block of blocks) {
      const key = refKey(block.ref);
      this.#noticeOwn(block.ref);
      this.#waiting.remove(key);
      const known = this.#graph.get(key);
      if (known !== undefined) {
        ordered.push(known);
        continue;
      }
      ordered.push(this.#add(block, paceMs));
      this.#effects.push({ type: "persist-block", block });
      const ready = this.#waiting.arrived(key);
      this.#insert(
        ready.map((waiting) => ({ block: waiting, from: block.ref.author })),
        paceMs,
      );
    }
    this.#settle(this.#ordering.adopt(commit, ordered), paceMs);
  }

  // ── proposing (§6) ──

  #propose(now: { readonly paceMs: number; readonly wallMs: number }): void {
    const proposer = this.#proposer;
    if (proposer === undefined || this.#isPaused) return;
    // A host alone makes its quorum itself: it goes on until nothing is left to order.
    while (this.#ordering.violation === undefined) {
      const isWanted = this.wantsRound;
      const { owesVote } = this.#ordering;
      const proposal = proposer.next(
        { isWanted, owesVote, votes: () => this.#ordering.takeVotes() },
        now,
      );
      if (proposal === undefined) return;
      if (proposal.kind === "stuck") {
        this.#effects.push({ type: "needs-round" });
        return void this.#effects.push({
          type: "wake",
          atMs: this.#time.toCaller(now.paceMs + stuckMs),
        });
      }
      if (proposal.kind === "wait") {
        return void this.#effects.push({
          type: "wake",
          atMs: this.#time.toCaller(proposal.untilMs),
        });
      }
      this.#release(proposal.block, proposal.submissions, now.paceMs);
      this.#order(now.paceMs);
    }
  }

  /** Persisting comes first in the effects, and so first in the world. */
  #release(block: VerifiedBlock, submissions: readonly Submission[], paceMs: number): void {
    assert(
      block.header.parents.every((parent) => !this.admission.lacks(parent)),
      "an own block has all its parents here",
    );
    this.#effects.push({ type: "persist-block", block });
    this.#effects.push({ type: "guard", round: block.ref.round, digest: block.ref.digest });
    this.#add(block, paceMs, submissions);
    this.#votes.observe(block);
    this.#effects.push({ type: "broadcast", block });
  }

  // ── restart (§12) ──

  #recover({ blocks, commits }: DagRecovery): void {
    this.#ordering.recover(commits);
    this.#votes.startAt(Math.max(0, this.#ordering.last.index - limits.commitLagMax));
    for (const block of blocks) {
      if (block.ref.round <= this.horizon || this.#graph.get(refKey(block.ref)) !== undefined)
        continue;
      const isOwn = block.ref.author === this.#self;
      this.#add(block, 0, isOwn ? block.segments.map((segment) => ({ ticket: 0, segment })) : []);
      this.#votes.observe(block);
      if (isOwn) this.#proposer?.recoverOwn(block);
    }
    for (const commit of commits) this.#ordering.recoverOrdered(commit);
    this.#effects = [];
  }
}
