import type { Author, Digest } from "../base/index.ts";
import { assert } from "../base/index.ts";
import type { CommitVote, SignedHeader, VerifiedBlock } from "./block.ts";

/** Commit indexes beyond the newest certificate whose votes are kept: of every writer one vote an index. */
const indexesKept = 2000;

/**
 * A commit index, the digest that f+1 writers or more endorsed, and the headers that prove it: one of them is honest,
 * and an honest writer votes for what it has made or adopted itself. More are not waited for: f may give no votes, and
 * others be away. What has to expose f+1 writers where it forks is the checkpoint, which n−f cosign.
 */
export interface CommitCertificate {
  readonly index: number;
  readonly digest: Digest;
  readonly voters: readonly SignedHeader[];
}

/** Watches the commit votes in blocks: how far honest writers are, and the certificates (`dag.md` §11). */
export class CommitVotes {
  readonly #validity: number;
  readonly #highest: number[];
  #endorsedIndex = 0;
  /** index → digest → author → header */
  readonly #votes = new Map<number, Map<Digest, Map<Author, SignedHeader>>>();
  #certified: CommitCertificate | undefined;
  /** Votes at or below are of no interest: what a restart has is beyond them. */
  #from = 0;

  /** Of n writers, `validity` hold an honest one at least: f+1. */
  constructor(n: number, validity: number) {
    this.#validity = validity;
    this.#highest = new Array<number>(n).fill(0);
  }

  /** Largest index at or beyond which f+1 writers voted: an honest one has come so far, whatever f others say. */
  get endorsedIndex(): number {
    return this.#endorsedIndex;
  }

  /** Indexes beyond the newest certificate that were voted for. */
  get size(): number {
    return this.#votes.size;
  }

  /** The newest commit with f+1 votes on one digest. */
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
      this.#endorsedIndex = this.#highest.toSorted((a, b) => b - a)[this.#validity - 1] ?? 0;
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
    assert(voters.size <= this.#highest.length, "a writer votes once for an index");
    if (voters.size >= this.#validity) this.#certify(vote, [...voters.values()]);
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
