import { assert } from "./assert.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Strict UTF-8; `undefined` where the bytes are not. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

const hexCodes = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
/** By character code: the digit's value, or −1. */
const hexValues = new Int8Array(128).fill(-1);
for (const [value, code] of hexCodes.entries()) hexValues[code] = value;

/** Room for what is made of a digest: one string that is whole, where adding characters makes a chain of parts. */
const hexRoom = new Uint8Array(128);

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  const { length } = bytes;
  const room = 2 * length <= hexRoom.length ? hexRoom : new Uint8Array(2 * length);
  for (let i = 0; i < length; i++) {
    const byte = bytes[i] as number;
    room[2 * i] = hexCodes[byte >> 4] as number;
    room[2 * i + 1] = hexCodes[byte & 15] as number;
  }
  return decoder.decode(room.subarray(0, 2 * length));
}

/** Inverse of {@link toHex}; the text must be lower-case hex of even length. */
export function fromHex(text: string): Uint8Array {
  assert(text.length % 2 === 0, "hex text is even");
  const bytes = new Uint8Array(text.length / 2);
  let faults = 0;
  for (let i = 0; i < bytes.length; i++) {
    const high = hexValues[text.charCodeAt(2 * i)] ?? -1;
    const low = hexValues[text.charCodeAt(2 * i + 1)] ?? -1;
    faults |= high | low;
    bytes[i] = (high << 4) | low;
  }
  assert(faults >= 0, "hex text is lower-case");
  return bytes;
}

/** Lexicographic order of bytes: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** True for the same bytes; not in constant time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/** All of them, back to back, in a new array. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Code-unit order of strings: the only string order the core uses. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** RFC 4648 §4 base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += alphabet.charAt(word >> 18) + alphabet.charAt((word >> 12) & 63);
    text += i + 1 < bytes.length ? alphabet.charAt((word >> 6) & 63) : "=";
    text += i + 2 < bytes.length ? alphabet.charAt(word & 63) : "=";
  }
  return text;
}

/** Canonical base64 only; `undefined` for anything that {@link toBase64} would not have written. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const body = text.replace(/=+$/, "");
  const bytes = new Uint8Array(Math.floor((body.length * 3) / 4));
  let word = 0;
  let bits = 0;
  let at = 0;
  for (const letter of body) {
    word = ((word << 6) | alphabet.indexOf(letter)) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (word >> bits) & 255;
    }
  }
  return toBase64(bytes) === text ? bytes : undefined;
}

/** Big-endian unsigned number of `width` bytes (≤ 6): keys that sort as their numbers do. */
export function bigEndian(value: number, width: number): Uint8Array {
  assert(
    Number.isSafeInteger(value) && value >= 0 && value < 256 ** width,
    "the number fits its width",
  );
  const bytes = new Uint8Array(width);
  let rest = value;
  for (let i = width - 1; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

/** A natural number from at most six bytes. */
export function readBigEndian(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}
