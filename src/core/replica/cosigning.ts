import { type Author, assert, equalBytes, limits } from "../base/index.ts";
import type { Network } from "../committee/index.ts";
import {
  type Checkpoint,
  type Cosignature,
  cosign,
  type Signer,
  type Verifier,
  verifyCosignature,
  verifyNote,
  writeNote,
} from "../crypto/index.ts";
import type { DueRecord } from "../mirror/index.ts";

/** What a writer remembers of the last checkpoint it cosigned; durable before the cosignature leaves. */
export interface CosignGuard {
  readonly size: number;
  readonly root: Uint8Array;
}

/** A cosignature as it travels between writers. */
export interface SizedCosignature {
  readonly size: number;
  readonly root: Uint8Array;
  readonly timeS: number;
  readonly signature: Uint8Array;
}

export type CosignEffect =
  | { readonly type: "guard-checkpoint"; readonly guard: CosignGuard }
  | { readonly type: "cosigned"; readonly cosignature: SizedCosignature }
  | { readonly type: "certified"; readonly due: DueRecord; readonly note: string }
  /** A writer signed two roots for one size: the two together prove it to anybody. */
  | {
      readonly type: "contradiction";
      readonly author: Author;
      readonly first: SizedCosignature;
      readonly second: SizedCosignature;
    }
  /** A writer signed another root than this host computed. Which of the two cheats, or sees a fork, is not proven. */
  | { readonly type: "other-root"; readonly author: Author };

interface Collected {
  readonly due: DueRecord;
  readonly cosignatures: Map<Author, Cosignature>;
  /** The first valid cosignature of each writer, on whatever root. */
  readonly first: Map<Author, SizedCosignature>;
}

/**
 * Collects cosignatures on the checkpoints that this host computed itself, and adds its own. A size is
 * signed once: larger than any before, or the same root again (C2SP tlog-witness rule, `dag.md` §13).
 */
export class Cosigning {
  readonly #network: Network;
  readonly #verifier: Verifier;
  #self: { readonly author: Author; readonly signer: Signer } | undefined;
  #guard: CosignGuard;
  #mine: SizedCosignature | undefined;
  #certifiedSize = 0;
  /** The newest certified one, of which cosignatures are still collected: they renew its freshness lease. */
  #last: (Collected & { leaseS: number }) | undefined;
  readonly #leaseEveryMs: number;
  readonly #open = new Map<number, Collected>();
  /** Cosignatures on sizes that this host has not reached yet, the newest few of each writer. */
  readonly #early = new Map<Author, SizedCosignature[]>();

  constructor(options: {
    readonly network: Network;
    readonly verifier: Verifier;
    readonly self: { readonly author: Author; readonly signer: Signer } | undefined;
    readonly guard: CosignGuard;
    /** The newest checkpoint is cosigned anew after so long, milliseconds. */
    readonly leaseEveryMs: number;
  }) {
    this.#network = options.network;
    this.#verifier = options.verifier;
    this.#self = options.self;
    this.#guard = options.guard;
    this.#leaseEveryMs = options.leaseEveryMs;
  }

  /** From now on it only collects what others sign. */
  leave(): void {
    this.#self = undefined;
    this.#mine = undefined;
  }

  /** The last own cosignature: told to every peer that comes. */
  get mine(): SizedCosignature | undefined {
    return this.#mine;
  }

  onDue(due: DueRecord, nowMs: number): readonly CosignEffect[] {
    if (due.size <= this.#certifiedSize) return [];
    const effects: CosignEffect[] = [];
    const collected: Collected = { due, cosignatures: new Map(), first: new Map() };
    this.#open.set(due.size, collected);
    this.#boundOpen();
    effects.push(...this.#sign(collected, nowMs));
    for (const [author, early] of this.#early) {
      for (const cosignature of early.filter(({ size }) => size === due.size)) {
        effects.push(...this.onCosignature(author, cosignature));
      }
      this.#early.set(
        author,
        early.filter(({ size }) => size > due.size),
      );
    }
    return effects;
  }

  /** When the own cosignature on the newest certified checkpoint is to be renewed; never while it is not the newest. */
  get renewAtMs(): number {
    const isNewest = this.#last !== undefined && this.#mine?.size === this.#last.due.size;
    if (!isNewest || this.#mine === undefined) return Number.POSITIVE_INFINITY;
    return this.#mine.timeS * 1000 + this.#leaseEveryMs;
  }

  /** Says again that what it cosigned last is the newest that it knows (C2SP tlog-cosignature). */
  renew(nowMs: number): readonly CosignEffect[] {
    return this.#last === undefined || nowMs < this.renewAtMs ? [] : this.#sign(this.#last, nowMs);
  }

  #sign(collected: Collected, nowMs: number): readonly CosignEffect[] {
    const { due } = collected;
    const isSame = due.size === this.#guard.size && equalBytes(due.root, this.#guard.root);
    if (this.#self === undefined || (due.size <= this.#guard.size && !isSame)) return [];
    assert(due.size >= this.#guard.size, "no smaller size is signed after a larger one");
    const name = this.#network.cosigners[this.#self.author]?.name ?? "";
    const timeS = Math.floor(nowMs / 1000);
    const signed = cosign(this.#checkpoint(due), { name, signer: this.#self.signer, timeS });
    this.#guard = { size: due.size, root: due.root };
    this.#mine = { size: due.size, root: due.root, timeS, signature: signed.signature };
    collected.cosignatures.set(this.#self.author, signed);
    return [
      { type: "guard-checkpoint", guard: this.#guard },
      { type: "cosigned", cosignature: this.#mine },
      ...this.#certify(collected),
    ];
  }

  onCosignature(author: Author, sized: SizedCosignature): readonly CosignEffect[] {
    if (sized.size < this.#certifiedSize) return [];
    const isCertified = sized.size === this.#certifiedSize;
    const collected = isCertified ? this.#last : this.#open.get(sized.size);
    if (collected !== undefined) return this.#collect(author, sized, collected);
    if (isCertified) return [];
    const early = this.#early.get(author) ?? [];
    this.#early.set(author, [...early, sized].slice(-limits.cosignaturesPendingMax));
    return [];
  }

  #collect(author: Author, sized: SizedCosignature, collected: Collected): readonly CosignEffect[] {
    const first = collected.first.get(author);
    const isRepeated = first !== undefined && equalBytes(first.root, sized.root);
    if (isRepeated && sized.timeS <= (collected.cosignatures.get(author)?.timeS ?? 0)) return [];
    const cosigner = this.#network.cosigners[author];
    if (cosigner === undefined) return [];
    const cosignature = { name: cosigner.name, timeS: sized.timeS, signature: sized.signature };
    const theirs: Checkpoint = { origin: this.#network.origin, size: sized.size, root: sized.root };
    if (!verifyCosignature(theirs, cosignature, { cosigner, verifier: this.#verifier })) return [];
    if (first !== undefined && !isRepeated)
      return [{ type: "contradiction", author, first, second: sized }];
    collected.first.set(author, sized);
    if (!equalBytes(sized.root, collected.due.root)) return [{ type: "other-root", author }];
    collected.cosignatures.set(author, cosignature);
    return this.#certify(collected);
  }

  /** A note that a quorum cosigned, from elsewhere: as good as our own collection, if the root is the one that is here. */
  onNote(note: string): readonly CosignEffect[] {
    const { origin, cosigners, quorum } = this.#network;
    const verified = verifyNote(note, { origin, cosigners, quorum, verifier: this.#verifier });
    if (!verified.ok) return [];
    const { size, root } = verified.value.checkpoint;
    const open = this.#open.get(size);
    if (open === undefined || size <= this.#certifiedSize || !equalBytes(open.due.root, root))
      return [];
    this.#settle(open, verified.value.leaseS);
    return [{ type: "certified", due: open.due, note: verified.value.note }];
  }

  #settle(collected: Collected, leaseS: number): void {
    const { size } = collected.due;
    this.#certifiedSize = size;
    this.#last = { ...collected, leaseS };
    for (const older of this.#open.keys()) if (older <= size) this.#open.delete(older);
  }

  /** A quorum is together, or has come together again so much later that it is worth telling. */
  #certify(collected: Collected): readonly CosignEffect[] {
    const { due, cosignatures } = collected;
    const { quorum } = this.#network;
    if (cosignatures.size < quorum || due.size < this.#certifiedSize) return [];
    const times = [...cosignatures.values()].map(({ timeS }) => timeS).sort((a, b) => b - a);
    const leaseS = times[quorum - 1] ?? 0;
    const isRenewal = due.size === this.#certifiedSize;
    if (isRenewal && 1000 * (leaseS - (this.#last?.leaseS ?? 0)) < this.#leaseEveryMs / 2)
      return [];
    this.#settle(collected, leaseS);
    const ordered = [...cosignatures]
      .sort(([a], [b]) => a - b)
      .map(([, cosignature]) => cosignature);
    const note = writeNote(this.#checkpoint(due), ordered, this.#network.cosigners);
    return [{ type: "certified", due, note }];
  }

  #checkpoint(due: DueRecord): Checkpoint {
    return { origin: this.#network.origin, size: due.size, root: due.root };
  }

  #boundOpen(): void {
    for (const size of this.#open.keys()) {
      if (this.#open.size <= limits.cosignaturesPendingMax) return;
      this.#open.delete(size);
    }
  }
}
