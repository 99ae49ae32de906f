import type { Network } from "../committee/index.ts";
import type { Verifier } from "../crypto/index.ts";

/** What evidence is judged by: the genesis, and what follows from it. */
export interface Court {
  readonly network: Network;
  readonly verifier: Verifier;
}
