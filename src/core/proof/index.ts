export { certifiedBy, type Trust } from "./certified.ts";
export {
  type Consistent,
  checkConsistency,
  readConsistency,
  writeConsistency,
} from "./consistency.ts";
export {
  checkPathProof,
  type PathProof,
  type ProvenPath,
  proofText,
  readPathProof,
  writePathProof,
} from "./path-proof.ts";
export {
  entryIn,
  nodesOnTheWay,
  provenEntry,
  type StateProof,
  stateProofShape,
  stateProofValue,
} from "./state-proof.ts";
