import { limits } from "../base/index.ts";
import { type Ref, refKey, type VerifiedBlock } from "./block.ts";
import type { CommitVotes } from "./commit-votes.ts";
import type { DropCode } from "./effects.ts";
import type { Entry } from "./entry.ts";
import type { Graph } from "./graph.ts";
import type { Ordering } from "./ordering.ts";
import type { RoundClock } from "./pacing.ts";
import type { Tips } from "./tips.ts";
import type { WaitingRoom } from "./waiting-room.ts";

interface AdmissionParts {
  /** Writers of the committee. */
  readonly n: number;
  readonly graph: Graph<Entry>;
  readonly waiting: WaitingRoom;
  readonly tips: Tips;
  readonly clock: RoundClock;
  readonly votes: CommitVotes;
  readonly ordering: Ordering;
}

/** What becomes of a block: no code if it is taken in; its rival, if it is one of two blocks of its slot. */
export interface Admitted {
  readonly code?: DropCode;
  readonly rival?: VerifiedBlock;
}

/** Which blocks are taken in, and which are wanted: local, may differ between hosts, never of influence on the order (§4). */
export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  judge(block: VerifiedBlock, how: "pushed" | "fetched"): Admitted {
    const { graph, waiting, clock, ordering } = this.#parts;
    const key = refKey(block.ref);
    if (block.ref.round <= ordering.horizon) return { code: "BELOW_HORIZON" };
    if (graph.get(key) !== undefined || waiting.has(key)) return { code: "DUPLICATE" };
    if (this.#lag > limits.commitLagMax) return { code: "COMMIT_LAG" };
    // Twins that another author's block references are needed for the order; nobody else's demand counts.
    if (!this.#isNeededByOthers(block.ref)) {
      const rival = this.#rivalOf(block.ref);
      if (rival !== undefined) return { code: "TWIN_PUSHED", rival };
      if (this.#standsOnRefused(block)) return { code: "ON_REFUSED" };
    }
    if (how === "fetched" || waiting.isWanted(block.ref)) return {};
    const isFar = block.ref.round > clock.round + limits.roundsAheadMax;
    return isFar ? { code: "FAR_FUTURE" } : {};
  }

  get #lag(): number {
    const { votes, ordering } = this.#parts;
    return votes.endorsedIndex - ordering.last.index;
  }

  /** What another writer only says that it has counts while there is room: fewer twins than writers that have one each. */
  #isNeededByOthers(ref: Ref): boolean {
    const { waiting, graph, n } = this.#parts;
    const wanted = waiting.wantedByOthers(ref);
    if (wanted !== "name") return wanted === "block";
    return graph.atSlot(ref.round, ref.author).length < n;
  }

  /** Twins are refused where they are pushed, and kept where others reference them (pitfall 3). */
  #rivalOf({ round, author }: Ref): VerifiedBlock | undefined {
    const { graph, waiting } = this.#parts;
    return graph.atSlot(round, author)[0]?.block ?? waiting.blockAtSlot(round, author);
  }

  /**
   * The author's own block before it was refused, as a twin: this one could only wait for it. Where another author's
   * block rests on a refused one, that one is needed for the order, and fetched.
   */
  #standsOnRefused({ ref, header }: VerifiedBlock): boolean {
    const { waiting } = this.#parts;
    const lacks = (parent: Ref): boolean => this.lacks(parent);
    const isOwn = (parent: Ref): boolean => parent.author === ref.author;
    return header.parents.some((p) => isOwn(p) && lacks(p) && waiting.isRefused(p, lacks));
  }

  /** A block that stands on it could not be taken in yet. */
  lacks(ref: Ref): boolean {
    const { graph, ordering } = this.#parts;
    return ref.round > ordering.horizon && ref.round > 0 && graph.get(refKey(ref)) === undefined;
  }

  /** What must be fetched: parents that blocks wait for, and tips that were dropped while this host was behind. */
  missing(): Ref[] {
    const { waiting, tips } = this.#parts;
    return [...waiting.missing(), ...tips.all.filter((ref) => this.#isTipWanted(ref))];
  }

  isWanted(ref: Ref): boolean {
    return this.#parts.waiting.isWanted(ref) || this.#isTipWanted(ref);
  }

  #isTipWanted(ref: Ref): boolean {
    const { tips, ordering, graph, waiting } = this.#parts;
    if (!tips.has(ref) || this.#lag > limits.commitLagMax) return false;
    const key = refKey(ref);
    return ref.round > ordering.horizon && graph.get(key) === undefined && !waiting.has(key);
  }
}
