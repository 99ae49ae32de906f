import type { PublicKey } from "../../core/base/index.ts";

/** One host's opinion on another, with the reason in words. */
export interface OpinionRow {
  readonly by: string;
  readonly about: string;
  readonly opinion: string;
  readonly explained: string;
  /** POSIX milliseconds; 0 where it was never otherwise. */
  readonly sinceMs: number;
}

/** A host that evidence convicted. */
export interface ConvictionRow {
  readonly host: string;
  readonly key: PublicKey;
  readonly role: "writer" | "reader";
  readonly kind: string;
  /** Misdeeds that are proven in the order. */
  readonly count: number;
  /** The last proof: `/.smalti/evidence/ID`. */
  readonly evidence: string;
  readonly tsMs: number;
  /** Why an administrator lets it take part again; empty while none does. */
  readonly pardon: string;
}

/** A host that serves this network: `/.smalti/mirrors.json`. */
export interface MirrorRow {
  readonly url: string;
  readonly role: "writer" | "reader";
  readonly name: string | undefined;
  readonly key: PublicKey | undefined;
  /** Height that it serves, as it says; `undefined` where it was not asked. */
  readonly height: number | undefined;
  /** Why it should not be used; `undefined` for those in `mirrors.txt`. */
  readonly problem: string | undefined;
}

/** Who thinks what of whom: `/.smalti/opinions.json`. */
export interface OpinionsReport {
  readonly version: 1;
  readonly host: string;
  readonly network: string;
  /** The matrix is the same at every host that has executed this commit. */
  readonly commit: number;
  readonly writers: readonly string[];
  /** By the order: row by column, who thinks what of whom. */
  readonly matrix: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Why, where it is not "ok". */
  readonly reasons: readonly OpinionRow[];
  /** What this host thinks now; the order may not have it yet. */
  readonly own: readonly OpinionRow[];
  /** The same, signed with this host's key: canonical statements, base64. */
  readonly signed: readonly string[];
  readonly convicted: readonly ConvictionRow[];
  /** Writers that the next change of membership leaves out. */
  readonly leaving: readonly string[];
}

/** A proof of misbehaviour, as a list shows it. */
export interface EvidenceRow {
  readonly id: string;
  readonly kind: string;
  readonly host: string;
  readonly key: PublicKey;
  readonly detail: string;
  readonly bytes: number;
  /** Whether the order has it. */
  readonly state: "ordered" | "found";
}
