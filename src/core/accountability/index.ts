export type { Court } from "./court.ts";
export {
  decodeEvidence,
  type Evidence,
  encodeEvidence,
  evidenceId,
  evidenceKinds,
  kindName,
  misbehavioursOf,
} from "./evidence.ts";
export { possessionAnswer, signPossession } from "./possession.ts";
export {
  filePathOf,
  isNonce,
  isSigned,
  receiptTag,
  type ServedClaim,
  type ServedReceipt,
  signatureBase,
  signatureParams,
  signServed,
} from "./receipt.ts";
export { type SplitPoint, splitIdentity } from "./split-point.ts";
export { fitsOrder, judge, type Verdict } from "./verdict.ts";
