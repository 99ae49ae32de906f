import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { InvariantError, toHex, utf8 } from "../../core/base/index.ts";

/**
 * What ring 1 asks of `node:crypto` (`core/platform.d.ts`), for browsers: bundlers put this in its place by the `browser`
 * field of our package. Verification only; nothing is signed here.
 */

/** A public key, as 32 bytes. */
export interface KeyObject {
  readonly raw: Uint8Array;
}

export function hash(
  _: "sha256",
  data: Uint8Array | string,
  form: "hex" | "buffer",
): string | Uint8Array {
  const digest = sha256(typeof data === "string" ? utf8(data) : data);
  return form === "hex" ? toHex(digest) : digest;
}

export function createHash(_: "sha256"): {
  update(data: Uint8Array): void;
  digest(form?: "hex"): string | Uint8Array;
} {
  const state = sha256.create();
  return {
    update: (data) => void state.update(data),
    digest: (form) => (form === "hex" ? toHex(state.digest()) : state.digest()),
  };
}

export function createPublicKey({ key }: { readonly key: { readonly x: string } }): KeyObject {
  const base64 = key.x.replaceAll("-", "+").replaceAll("_", "/");
  return { raw: Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)) };
}

// biome-ignore lint/complexity/useMaxParams: the platform's own signature
export function verify(
  _: null,
  message: Uint8Array,
  key: KeyObject,
  signature: Uint8Array,
): boolean {
  // As RFC 8032 and OpenSSL have it, not as ZIP 215.
  return ed25519.verify(signature, message, key.raw, { zip215: false });
}

export function createPrivateKey(): never {
  throw new InvariantError("nothing is signed in a browser");
}

export const sign: () => never = createPrivateKey;
