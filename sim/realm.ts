import type { Verdict } from "../src/core/accountability/index.ts";
import type { Author, Digest, Prng } from "../src/core/base/index.ts";
import type { Network } from "../src/core/committee/index.ts";
import type { AcceptedBatch, Certificate } from "../src/core/consensus/index.ts";
import type { Signer } from "../src/core/crypto/index.ts";
import type { Appended, DueRecord, MirrorEvent } from "../src/core/mirror/index.ts";
import type { HostRecovery } from "../src/core/replica/index.ts";
import type { Signatures } from "./crypto.ts";
import type { SimNetwork } from "./network.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Plan } from "./plan.ts";
import type { Scheduler } from "./scheduler.ts";

/** What the checks need to know of a host. */
export interface Named {
  readonly id: string;
  readonly isHonest: boolean;
  /** Lives so far. */
  readonly life: number;
}

export interface NamedWriter extends Named {
  readonly author: Author;
}

/** Something that a person who watches wants to see. */
export interface Note {
  readonly atMs: number;
  readonly kind: "up" | "down" | "commit" | "trouble" | "evidence" | "published" | "opinion";
  /** Undefined where it concerns all. */
  readonly host: string | undefined;
  readonly text: string;
}

/** A misdeed, found or ordered. */
export type Proof = Pick<Verdict, "author" | "offence" | "detail">;

/** What every host tells the checks. */
export interface Checks {
  accepted(host: Named, batch: AcceptedBatch): void;
  executed(
    host: Named,
    batch: AcceptedBatch,
    at: { readonly firstMessage: number; readonly appends: readonly (Appended | undefined)[] },
  ): void;
  certified(host: Named, due: DueRecord, note: string): void;
  height(host: Named, record: Extract<MirrorEvent, { type: "height" }>["record"]): void;
  finished(host: Named, event: Extract<MirrorEvent, { type: "finished" }>): void;
  found(host: Named, proof: Verdict): void;
  convicted(host: Named, proof: Proof): void;
  disconnected(host: Named, peer: Author, code: string): void;
  sent(host: NamedWriter, frame: Uint8Array): void;
  certificate(host: Named, certificate: Certificate): void;
  recovered(host: NamedWriter, recovery: HostRecovery): void;
  halted(host: Named, error: unknown): void;
}

/** The world as its inhabitants know it. */
export interface Realm {
  readonly plan: Plan;
  readonly random: Prng;
  readonly scheduler: Scheduler;
  readonly signatures: Signatures;
  readonly network: Network;
  readonly links: SimNetwork;
  readonly check: Checks;
  readonly writers: readonly NamedWriter[];
  /** POSIX milliseconds at the beginning. */
  readonly epochMs: number;
  /** Messages that clients sent, and through whom. */
  readonly submitted: ReadonlyMap<string, string>;
  isByzantine(author: Author): boolean;
  mayRepeat(text: string): boolean;
  hadDiskFault(host: Named): boolean;
  mayForget(host: Named): boolean;
  /** An update ended at a host. */
  onFinished(host: Named, event: Extract<MirrorEvent, { type: "finished" }>): void;
  /** A writer told its client where a message stands. */
  onAcknowledged(host: Named, text: string): void;
  signersOf(author: Author): { readonly block: Signer; readonly cosign: Signer };
  /** Honest writers that are shown the second copies of twins. */
  readonly far: Set<Author>;
  /** More twins than the row bears: honest writers of the two sides do not hear one another either. */
  readonly isDivided: boolean;
  /** Who is shown which copy has changed. */
  divided(): void;
  /** A second copy of a cheater, behind the same links. */
  addTwin(writer: NamedWriter): { outgoing: Outgoing };
  /** A state that must be reached now and then was reached. */
  sometimes(what: string): void;
  /** A cheater cheated. */
  misdeed(name: string): void;
  note(kind: Note["kind"], host: string | undefined, text: string): void;
  /** A host dropped something and counted it. */
  droppedAt(host: Named, code: string): void;
  syncMs(random: Prng): number;
  content(asker: Named, digest: Digest): Promise<Uint8Array | undefined>;
  news(asker: Named, after: number, size: number): Promise<Uint8Array | undefined>;
}
