export {
  FixedTimeout,
  type Observation,
  PhiAccrual,
} from "./detector.ts";
export { divide } from "./division.ts";
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
