import type { Prng } from "../src/core/base/index.ts";

/** What a liar has to lie with: what it should say, what it said first, and something that it said once. */
interface Told {
  readonly answer: Uint8Array;
  readonly first: Uint8Array;
  readonly old: Uint8Array;
  /** Who asks: an even or an odd one. */
  readonly isEven: boolean;
}

/** How a lying source changes an answer. */
export type Lie = (told: Told, random: Prng) => Uint8Array;

/** What a reader or a source of content can do to those who ask it. */
export const lies: Readonly<Record<string, Lie>> = {
  flipped: ({ answer }, random) => {
    const bytes = Buffer.from(answer);
    const at = random.below(Math.max(1, bytes.length));
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  truncated: ({ answer }, random) => answer.subarray(0, random.below(Math.max(1, answer.length))),
  stale: ({ old }) => old,
  frozen: ({ first }) => first,
  "two-faced": ({ answer, old, isEven }) => (isEven ? old : answer),
  endless: ({ answer }) => Buffer.concat([answer, Buffer.alloc(100_000)]),
};
