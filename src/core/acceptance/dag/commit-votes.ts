import type { Author, Digest } from "../../base/index.ts";
import type { CommitVote, SignedHeader, VerifiedBlock } from "./block.ts";

/** Commit indexes whose votes are kept; older ones have their certificates. */
const indexesKept = 2000;

/** A commit index, the digest that a quorum endorsed, and the headers that prove it. */
export interface CommitCertificate {
  readonly index: number;
  readonly digest: Digest;
  readonly voters: readonly SignedHeader[];
}

/** Watches the commit votes in blocks: how far the quorum is, and the certificates (`dag.md` §11). */
export class CommitVotes {
  readonly #quorum: number;
  readonly #highest: number[];
  #quorumIndex = 0;
  /** index → digest → author → header */
  readonly #votes = new Map<number, Map<Digest, Map<Author, SignedHeader>>>();
  #certified: CommitCertificate | undefined;
  /** Votes at or below are of no interest: what a restart has is beyond them. */
  #from = 0;

  constructor(n: number, quorum: number) {
    this.#quorum = quorum;
    this.#highest = new Array<number>(n).fill(0);
  }

  /** Largest index that a quorum of writers has voted at or beyond: a hint that drives catching up. */
  get quorumIndex(): number {
    return this.#quorumIndex;
  }

  /** The newest commit with a quorum of votes on one digest. */
  get certified(): CommitCertificate | undefined {
    return this.#certified;
  }

  /** Before any block is dropped, else lag would go unnoticed (pitfall 18). */
  observe(block: VerifiedBlock): void {
    const { author } = block.ref;
    for (const vote of block.header.commitVotes) {
      this.#highest[author] = Math.max(this.#highest[author] ?? 0, vote.index);
      this.#record(vote, author, block.signed);
    }
    if (block.header.commitVotes.length > 0)
      this.#quorumIndex = this.#highest.toSorted((a, b) => b - a)[this.#quorum - 1] ?? 0;
  }

  #record(vote: CommitVote, author: Author, header: SignedHeader): void {
    const newest = Math.max(this.#certified?.index ?? 0, this.#from);
    if (vote.index <= newest || vote.index > newest + indexesKept) return;
    const digests = this.#votes.get(vote.index) ?? new Map<Digest, Map<Author, SignedHeader>>();
    // The first vote of a writer on an index counts; later ones cannot grow the map.
    for (const voters of digests.values()) if (voters.has(author)) return;
    const voters = digests.get(vote.digest) ?? new Map<Author, SignedHeader>();
    voters.set(author, header);
    digests.set(vote.digest, voters);
    this.#votes.set(vote.index, digests);
    if (voters.size >= this.#quorum) this.#certify(vote, [...voters.values()]);
  }

  #certify(vote: CommitVote, voters: readonly SignedHeader[]): void {
    this.#certified = { index: vote.index, digest: vote.digest, voters };
    for (const index of this.#votes.keys()) if (index <= vote.index) this.#votes.delete(index);
  }

  /** After a restart, votes are collected from around the last commit on. */
  startAt(index: number): void {
    this.#from = Math.max(this.#from, index);
  }

  /** After a jump by commit sync, votes are collected from there on. */
  restartAt(certificate: CommitCertificate): void {
    if (certificate.index > (this.#certified?.index ?? 0))
      this.#certify(certificate, certificate.voters);
  }

  /** Digests voted for `index`, with the number of writers behind each. */
  tally(index: number): ReadonlyMap<Digest, number> {
    const counts = new Map<Digest, number>();
    for (const [digest, voters] of this.#votes.get(index) ?? []) counts.set(digest, voters.size);
    return counts;
  }
}
