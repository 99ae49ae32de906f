import { type Digest, type Fault, type PublicKey, type Result, toHex } from "../base/index.ts";
import { decode, type Value } from "./canonical.ts";

/** Carries a fault out of nested shapes to {@link read}; it never leaves this room. */
class ShapeError extends Error {}

function refuse(what: string): never {
  throw new ShapeError(what);
}

/** Reads one value as a `T`, or refuses. Compose them with {@link list}, {@link tuple}. */
export type Shape<T> = (value: Value | undefined, what: string) => T;

/** A natural number ≤ `max` (default 2^53−1). */
export function natural(max: number = Number.MAX_SAFE_INTEGER): Shape<number> {
  return (value, what) =>
    typeof value === "number" && value >= 0 && value <= max
      ? value
      : refuse(`${what} is a number in 0…${max}`);
}

/** Text of at most `max` UTF-16 units. */
export function text(max: number): Shape<string> {
  return (value, what) =>
    typeof value === "string" && value.length <= max && isWellFormed(value)
      ? value
      : refuse(`${what} is text of at most ${max}`);
}

function isWellFormed(value: string): boolean {
  return !/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.test(value);
}

/** At most `max` bytes. */
export function bytes(max: number): Shape<Uint8Array> {
  return (value, what) =>
    value instanceof Uint8Array && value.length <= max
      ? value
      : refuse(`${what} is at most ${max} bytes`);
}

/** Exactly `length` bytes. */
export function exactBytes(length: number): Shape<Uint8Array> {
  return (value, what) =>
    value instanceof Uint8Array && value.length === length
      ? value
      : refuse(`${what} is ${length} bytes`);
}

/** 32 bytes as a digest. */
export const digest: Shape<Digest> = (value, what) => toHex(exactBytes(32)(value, what)) as Digest;

/** 32 bytes as an Ed25519 public key. */
export const publicKey: Shape<PublicKey> = (value, what) =>
  toHex(exactBytes(32)(value, what)) as PublicKey;

/** What the shape reads, or null. */
export function optional<T>(shape: Shape<T>): Shape<T | null> {
  return (value, what) => (value === null ? null : shape(value, what));
}

/** An array of at most `max` items of one shape. */
export function list<T>(shape: Shape<T>, max: number): Shape<readonly T[]> {
  return (value, what) => {
    if (!isArray(value) || value.length > max) return refuse(`${what} is a list of at most ${max}`);
    try {
      return value.map((item) => shape(item, what));
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      // Only now the items get their names, so that long lists are read without making any.
      return value.map((item, i) => shape(item, `${what}[${i}]`));
    }
  };
}

/** An array of exactly `length` values, handed on unread, or of up to `more` that came with later versions. */
export function fields(length: number, more = 0): Shape<readonly Value[]> {
  return (value, what) =>
    isArray(value) && value.length >= length && value.length <= length + more
      ? value
      : refuse(`${what} has ${length} fields`);
}

function isArray(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value);
}

/** A refusal inside a shape function of another room. */
export function require(condition: boolean, what: string): asserts condition {
  if (!condition) refuse(what);
}

/** Decodes canonical bytes by a shape: a value, or the fault that says what was wrong. */
// biome-ignore lint/complexity/useMaxParams: a bound for the few values that are long by right
export function read<T>(
  encoded: Uint8Array,
  shape: Shape<T>,
  what: string,
  itemsMax?: number,
): Result<T> {
  const decoded = decode(encoded, itemsMax);
  return decoded.ok ? readValue(decoded.value, shape, what) : decoded;
}

/** {@link read} for a value that is already decoded. */
export function readValue<T>(value: Value, shape: Shape<T>, what: string): Result<T> {
  try {
    return { ok: true, value: shape(value, what) };
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    const fault: Fault = { code: "MALFORMED_SHAPE", detail: error.message };
    return { ok: false, error: fault };
  }
}
