export { Allowance } from "./allowance.ts";
export { assert, defined, InvariantError, unreachable } from "./assert.ts";
export {
  Author,
  type Brand,
  Digest,
  Height,
  isDigest,
  isPublicKey,
  PublicKey,
  Round,
} from "./brand.ts";
export {
  bigEndian,
  compareBytes,
  compareText,
  concatBytes,
  equalBytes,
  fromBase64,
  fromHex,
  fromUtf8,
  readBigEndian,
  toBase64,
  toHex,
  utf8,
} from "./bytes.ts";
export { CodedError } from "./coded-error.ts";
export { limits } from "./limits.ts";
export type { LinkName } from "./link.ts";
export { MonotonicClock } from "./monotonic-clock.ts";
export { Overlay } from "./overlay.ts";
export { Prng } from "./prng.ts";
export { type Fault, fail, ok, type Result } from "./result.ts";
export { type Step, StepBuilder } from "./step.ts";
export { allAtOnce, type Steps } from "./steps.ts";
export { unseen } from "./unseen.ts";
