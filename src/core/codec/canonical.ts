import { decode as cborDecode, encode as cborEncode, decodeFirst, Tokenizer, Type } from "cborg";
import { CodedError, equalBytes, fail, limits, ok, type Result } from "../base/index.ts";

/** What may be written canonically: arrays, not maps; integers, not floats. */
export type Value = number | string | boolean | null | Uint8Array | readonly Value[];

/**
 * Canonical bytes: CBOR in core deterministic form (RFC 8949 §4.2.1), arrays only.
 * Equal values give equal bytes, so what is hashed or signed has one form.
 */
export function encode(value: Value): Uint8Array {
  return cborEncode(value);
}

const strict = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
} as const;

/**
 * The one value that `bytes` stand for. Anything that {@link encode} would not have written
 * (non-minimal, indefinite, trailing or truncated bytes, maps, floats, tags) is a fault.
 */
export function decode(bytes: Uint8Array, itemsMax: number = limits.decodeItemsMax): Result<Value> {
  const tokenizer = new CanonicalTokenizer(bytes, itemsMax);
  let value: unknown;
  try {
    value = cborDecode(bytes, { ...strict, tokenizer });
  } catch (error) {
    if (error instanceof TooManyItems) return fail("TOO_MANY_ITEMS", `more than ${itemsMax} items`);
    return fail("MALFORMED_CBOR", error instanceof Error ? error.message : "undecodable");
  }
  if (!isValue(value, 0)) return notAllowed;
  // Strict tokens have one form each, but for text: bytes that are not UTF-8 would be read as something else.
  if (tokenizer.hasOddText && !equalBytes(encode(value), bytes)) return notCanonical;
  return ok(value);
}

/**
 * Reads one long value piece by piece: the heads of its arrays, and whole values in them. What {@link decode} refuses is a
 * fault here too.
 */
export class Pieces {
  readonly #bytes: Uint8Array;
  readonly #itemsMax: number;
  readonly #tokenizer: CanonicalTokenizer;

  /** `itemsMax`: of each value that is read whole. */
  constructor(bytes: Uint8Array, itemsMax: number) {
    this.#bytes = bytes;
    this.#itemsMax = itemsMax;
    this.#tokenizer = new CanonicalTokenizer(bytes, itemsMax);
  }

  /** The head of an array: how many values follow. */
  array(): Result<number> {
    return this.#read(() => {
      if (this.#tokenizer.done()) return fail("MALFORMED_CBOR", "the bytes end too early");
      const { type, value } = this.#tokenizer.next();
      return type === Type.array ? ok(value as number) : notAllowed;
    });
  }

  value(): Result<Value> {
    return this.#read(() => {
      const tokenizer = this.#tokenizer;
      const from = tokenizer.pos();
      tokenizer.hasOddText = false;
      const [value] = decodeFirst(this.#bytes, { ...strict, tokenizer }) as [unknown, Uint8Array];
      if (!isValue(value, 0)) return notAllowed;
      const isOdd =
        tokenizer.hasOddText &&
        !equalBytes(encode(value), this.#bytes.subarray(from, tokenizer.pos()));
      return isOdd ? notCanonical : ok(value);
    });
  }

  /** Nothing stands behind what was read. */
  end(): Result<undefined> {
    return this.#tokenizer.done()
      ? ok(undefined)
      : fail("MALFORMED_CBOR", "something stands behind the value");
  }

  #read<T>(read: () => Result<T>): Result<T> {
    this.#tokenizer.left = this.#itemsMax;
    try {
      return read();
    } catch (error) {
      if (error instanceof TooManyItems) return fail("TOO_MANY_ITEMS", "more items than allowed");
      return fail("MALFORMED_CBOR", error instanceof Error ? error.message : "undecodable");
    }
  }
}

const notAllowed = fail("MALFORMED_CBOR", "only arrays, integers, text, bytes, booleans and null");
const notCanonical = fail("NOT_CANONICAL", "the bytes are not the canonical form");

class TooManyItems extends Error {}

/** Tokens in their shortest form, of the few kinds that we write; stops before a few bytes have become a mountain. */
class CanonicalTokenizer extends Tokenizer {
  /** Tokens that may come before it is too many. */
  left: number;
  /** Text that may be read otherwise than it was written; ASCII of the length that its bytes have is not. */
  hasOddText = false;

  constructor(bytes: Uint8Array, itemsMax: number) {
    super(bytes, strict);
    this.left = itemsMax;
  }

  override next(): ReturnType<Tokenizer["next"]> {
    if (this.left-- <= 0) throw new TooManyItems();
    const token = super.next();
    if (token.type === Type.string) this.hasOddText ||= !isPlain(token);
    if (token.type === Type.float) throw new CodedError("NOT_CANONICAL", "a float");
    return token;
  }
}

const ascii = /^[\0-\x7f]*$/;

/** The head of a strict token is as short as its length allows. */
function isPlain({ value, encodedLength }: ReturnType<Tokenizer["next"]>): boolean {
  const { length } = value as string;
  const head = length < 24 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 5;
  return encodedLength === head + length && ascii.test(value as string);
}

/** Deeper nesting is refused, whatever the stack would bear: the answer is the same on every host. */
const depthMax = 16;

function isValue(value: unknown, depth: number): value is Value {
  if (depth > depthMax) return false;
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (value instanceof Uint8Array) return true;
  return Array.isArray(value) && value.every((item) => isValue(item, depth + 1));
}
