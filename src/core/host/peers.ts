import type { Author, LinkName } from "../base/index.ts";
import { limits } from "../base/index.ts";

/** A writer with which this host has a link. */
export interface Peer {
  readonly author: Author;
  readonly link: LinkName;
  /** It said hello: it listens to this host's blocks. */
  greeted: boolean;
  lastPushedRound: number;
  faults: number;
}

/** Who is linked, who has said hello, and who said too much that was wrong. */
export class Peers {
  readonly #peers = new Map<Author, Peer>();

  up(peer: Author, session: number): void {
    this.#peers.set(peer, {
      author: peer,
      link: { peer, session },
      greeted: false,
      lastPushedRound: 0,
      faults: 0,
    });
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

  /** Counts a fault; true if it was one too many: what the peer has said already is not heard any more. */
  isTooMany(peer: Peer, weight: number): boolean {
    peer.faults += weight;
    if (peer.faults <= limits.peerFaultsMax) return false;
    this.#peers.delete(peer.author);
    return true;
  }
}
