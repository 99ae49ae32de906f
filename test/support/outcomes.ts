import type { OutcomeCode } from "../../src/core/mirror/index.ts";

/** All outcomes, so that the documentation can be held against them; the compiler keeps it complete. */
const all: Readonly<Record<OutcomeCode, true>> = {
  published: true,
  conflict: true,
  "not-permitted": true,
  malformed: true,
  expired: true,
  busy: true,
  "stale-policy": true,
  "over-quota": true,
};

export const outcomeCodesForDocs = Object.keys(all) as OutcomeCode[];
