import type { Prng } from "../src/core/base/index.ts";

/** How a lying source changes an answer; `old` is one that it gave before. */
export type Lie = (answer: Uint8Array, old: Uint8Array, random: Prng) => Uint8Array;

/** What a reader or a source of content can do to those who ask it. */
export const lies: Readonly<Record<string, Lie>> = {
  flipped: (answer, _, random) => {
    const bytes = Buffer.from(answer);
    const at = random.below(Math.max(1, bytes.length));
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  truncated: (answer, _, random) => answer.subarray(0, random.below(Math.max(1, answer.length))),
  stale: (_, old) => old,
  endless: (answer) => Buffer.concat([answer, Buffer.alloc(100_000)]),
};
