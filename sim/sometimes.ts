/** Rare states that one seed in a hundred must reach: a campaign that never gets into trouble proves nothing. */
const rareStates = [
  "evidence: equivocation",
  "evidence: invalid-block",
  "a host that may not sign after a restart",
  "a damaged disk was refused",
  "started again after a disk error",
  "restored from an old backup",
  "started twice",
  "a writer too few",
  "wrong content refused",
  "an unreadable answer refused",
  "a source refused: BAD_SIGNATURE",
  "a source refused: NO_QUORUM",
  "a source refused: BROKEN_CHAIN",
  "a register read through the order",
  "a register create ended: conflict",
  "stopped: STORAGE_WRITE_FAILED",
  "stopped: STORAGE_GUARD_FAILED",
  "stopped: STORAGE_LOG_CORRUPT",
  "disconnected: NO_HELLO",
] as const;

/** Rare states that too few of so many seeds reached. */
export function neverReached(reached: ReadonlyMap<string, number>, seeds: number): string[] {
  const least = Math.floor(seeds / 100);
  return rareStates.filter((state) => (reached.get(state) ?? 0) < least);
}
