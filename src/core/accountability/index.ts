export type { Court } from "./court.ts";
export {
  type DecodedEvidence,
  decodeEvidence,
  type Evidence,
  encodeEvidence,
  evidenceId,
  evidenceKinds,
  kindName,
  kindOf,
  misbehavioursOf,
} from "./evidence.ts";
export { type PossessionClaim, possessionAnswer, signPossession } from "./possession.ts";
export {
  filePathOf,
  isNonce,
  isSigned,
  receiptTag,
  reprDigest,
  type ServedClaim,
  type ServedReceipt,
  signatureBase,
  signatureParams,
  signServed,
} from "./receipt.ts";
export { type SplitPoint, splitIdentity } from "./split-point.ts";
export { fitsOrder, judge, type Verdict } from "./verdict.ts";
