export {
  type FailureDetector,
  type Finding,
  FixedTimeout,
  Manual,
  type Observation,
  PhiAccrual,
  RoundLag,
} from "./detector.ts";
export { type Division, divide } from "./division.ts";
export {
  matrixKey,
  matrixOf,
  type OpinionMatrix,
  opinionIn,
  removals,
  withStatement,
} from "./matrix.ts";
export {
  type Opinion,
  opinions,
  type Reason,
  readStatement,
  reasonText,
  type SignedStatement,
  type Statement,
  signStatement,
  statementShape,
  statementValue,
} from "./opinion.ts";
export { type DetectorChoice, defaultDetector, detectorOf, Watch } from "./watch.ts";
