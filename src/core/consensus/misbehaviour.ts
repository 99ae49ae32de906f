import type { Author } from "../base/index.ts";
import type { Shape, Value } from "../codec/index.ts";

/** What proves that a writer cheated its algorithm: whoever knows the committee can check it, and nobody else make it. */
export interface Misbehaviour {
  readonly kind: string;
}

/** One kind of misbehaviour, as it is written down. */
export interface MisbehaviourKind<Proof extends Misbehaviour = Misbehaviour> {
  readonly kind: Proof["kind"];
  /** Its number in records and leaves: no two kinds of any algorithm share one, and none ever changes. */
  readonly code: number;
  /** The same two things make the same value, whichever came first. */
  value(proof: Proof): Value;
  readonly shape: Shape<Proof>;
}

/** Whom a proof convicts, and of what. */
export interface Finding {
  readonly author: Author;
  /** Equal for every proof of the same misdeed. */
  readonly offence: string;
  /** What the writer did, as the end of a sentence: "signed two blocks of round 7". */
  readonly deed: string;
}
