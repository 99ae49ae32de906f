import { assert } from "./assert.ts";

declare const tag: unique symbol;
/** A `T` that only its constructor makes. */
export type Brand<T, Name extends string> = T & { readonly [tag]: Name };

/** A round of the block DAG; 0 is genesis, 1 … 2^32−1 hold blocks. */
export type Round = Brand<number, "Round">;
/** A round of the DAG, 0…2^32−1. */
export function Round(value: number): Round {
  assert(
    Number.isInteger(value) && value >= 0 && value < 2 ** 32,
    "a round is a 32-bit natural number",
  );
  return value as Round;
}

/** A writer's index in its committee, 0 … n−1. */
export type Author = Brand<number, "Author">;
/** A writer's place in its committee, 0…63. */
export function Author(value: number): Author {
  assert(
    Number.isInteger(value) && value >= 0 && value < 65536,
    "an author is a 16-bit natural number",
  );
  return value as Author;
}

/** Position in the sequence of states; 0 is the empty state, each published change adds one. */
export type Height = Brand<number, "Height">;
/** A height, from 0 on. */
export function Height(value: number): Height {
  assert(Number.isSafeInteger(value) && value >= 0, "a height is a natural number");
  return value as Height;
}

/** A SHA-256 value as 64 lower-case hexadecimal digits. */
export type Digest = Brand<string, "Digest">;
const digestPattern = /^[0-9a-f]{64}$/;
/** True for 64 lower-case hex digits. */
export function isDigest(value: unknown): value is Digest {
  return typeof value === "string" && digestPattern.test(value);
}
/** A SHA-256 digest, 64 lower-case hex digits. */
export function Digest(value: string): Digest {
  assert(isDigest(value), "a digest is 64 lower-case hex digits");
  return value;
}

/** An Ed25519 public key as 64 lower-case hexadecimal digits. */
export type PublicKey = Brand<string, "PublicKey">;
/** True for 64 lower-case hex digits. */
export function isPublicKey(value: unknown): value is PublicKey {
  return typeof value === "string" && digestPattern.test(value);
}
/** An Ed25519 public key, 64 lower-case hex digits. */
export function PublicKey(value: string): PublicKey {
  assert(isPublicKey(value), "a public key is 64 lower-case hex digits");
  return value;
}
