import type { Network } from "../../core/committee/index.ts";
import { leaseOf } from "../../core/crypto/index.ts";
import type { CertifiedHead } from "../store/index.ts";

/** Certified checkpoints that are remembered while their content is fetched; the oldest is forgotten. */
const incompleteMax = 1000;

/** The newest certified checkpoint, and the newest of which all content is here: the head that clients are shown. */
export class Heads {
  readonly #quorum: number;
  #newest: CertifiedHead | undefined;
  #served: CertifiedHead | undefined;
  #leaseS = 0;
  /** Above the served one, oldest first. */
  #incomplete: CertifiedHead[] = [];

  /** `kept` are those from before, newest first; all content is here up to height `complete`. */
  constructor(network: Network, kept: Iterable<CertifiedHead>, complete: number) {
    this.#quorum = network.quorum;
    for (const head of kept) {
      this.#incomplete.unshift(head);
      if (head.due.height <= complete || this.#incomplete.length > incompleteMax) break;
    }
    const newest = this.#incomplete.at(-1);
    if (newest !== undefined) this.#lead(newest);
    this.complete(complete);
  }

  get newest(): CertifiedHead | undefined {
    return this.#newest;
  }

  get served(): CertifiedHead | undefined {
    return this.#served;
  }

  /** When a quorum had said that {@link newest} is the newest, POSIX seconds. */
  get leaseS(): number {
    return this.#leaseS;
  }

  #lead(head: CertifiedHead): void {
    this.#newest = head;
    this.#leaseS = leaseOf(head.note, this.#quorum);
  }

  certified(head: CertifiedHead, complete: number): void {
    this.#lead(head);
    // One that is vouched for again takes the place of what was said of it before.
    this.#incomplete = this.#incomplete.filter(({ due }) => due.size !== head.due.size);
    this.#incomplete.push(head);
    if (this.#incomplete.length > incompleteMax) this.#incomplete.splice(0, 1);
    this.complete(complete);
  }

  /** One that was certified before the newest, of which all content is here. */
  older(head: CertifiedHead): void {
    if (head.due.size > (this.#served?.due.size ?? 0)) this.#served = head;
  }

  /** All content is here up to this height. */
  complete(height: number): void {
    for (let next = this.#incomplete[0]; next !== undefined; next = this.#incomplete[0]) {
      if (next.due.height > height) return;
      this.#served = next;
      this.#incomplete.shift();
    }
  }
}
