import { Allowance, type Author, type LinkName, limits } from "../base/index.ts";

/** A writer with which this host has a link. */
export interface Peer {
  readonly author: Author;
  readonly link: LinkName;
  /** It has greeted this host: it hears what is broadcast. */
  greeted: boolean;
}

/** A fault is forgiven after so long, milliseconds. */
const forgivenMs = 5000;

/** Who is linked, who has said hello, and who said too much that was wrong. */
export class Peers {
  readonly #peers = new Map<Author, Peer>();
  /** Of the author, not of its link: who comes back has still said what it said. */
  readonly #faults = new Allowance<Author>({ everyMs: forgivenMs, atOnce: limits.peerFaultsMax });

  up(peer: Author, session: number): void {
    this.#peers.set(peer, { author: peer, link: { peer, session }, greeted: false });
  }

  down(peer: Author): void {
    this.#peers.delete(peer);
  }

  get(peer: Author): Peer | undefined {
    return this.#peers.get(peer);
  }

  get greeted(): Set<Author> {
    const authors = new Set<Author>();
    for (const { greeted, author } of this.#peers.values()) if (greeted) authors.add(author);
    return authors;
  }

  /** Links of those that said hello: what they had not seen before stands in the stream already. */
  get greetedLinks(): readonly LinkName[] {
    const links: LinkName[] = [];
    for (const { greeted, link } of this.#peers.values()) if (greeted) links.push(link);
    return links;
  }

  /** Counts a fault; true if it was one too many: then the peer is forgotten, and what it has said already not heard. */
  countFault({ author }: Peer, isGrave: boolean, nowMs: number): boolean {
    if (this.#faults.take(author, nowMs) && !isGrave) return false;
    this.#peers.delete(author);
    return true;
  }
}
