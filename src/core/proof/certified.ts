import type { Result } from "../base/index.ts";
import { lineageOf, type Network } from "../committee/index.ts";
import { type CertifiedCheckpoint, type Verifier, verifyNote } from "../crypto/index.ts";

/** What everything is verified against. */
export interface Trust {
  readonly network: Network;
  readonly verifier: Verifier;
}

/**
 * A checkpoint that a quorum cosigned. What was certified before a split stands for ever, up to where it split.
 * Faults: MALFORMED_NOTE, WRONG_ORIGIN, NO_QUORUM.
 */
export function certifiedBy(
  { network, verifier }: Trust,
  note: string,
): Result<CertifiedCheckpoint> {
  const own = verifyNote(note, { ...network, verifier });
  if (own.ok) return own;
  for (const { parent } of lineageOf(network)) {
    if (parent === undefined) continue;
    const before = verifyNote(note, { ...parent.network, verifier });
    if (before.ok && before.value.checkpoint.size <= parent.at.size) return before;
  }
  return own;
}
