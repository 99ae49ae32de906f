import {
  createPrivateKey,
  createPublicKey,
  sign as platformSign,
  verify as platformVerify,
} from "node:crypto";
import { assert, fromHex, type PublicKey, toBase64 } from "../base/index.ts";

/** Makes Ed25519 signatures (RFC 8032) with one private key. */
export interface Signer {
  readonly publicKey: PublicKey;
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** Checks Ed25519 signatures; total: bad keys and bad signatures are `false`, never a throw. */
export interface Verifier {
  /** True if the holder of the key signed these bytes. Never throws, whatever the bytes are. */
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean;
}

function base64url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Encodings of the small-order points, on which signatures prove nothing. */
const smallOrderKeys: ReadonlySet<string> = new Set([
  `01${"00".repeat(31)}`,
  `01${"00".repeat(30)}80`,
  `ec${"ff".repeat(30)}7f`,
  `ec${"ff".repeat(31)}`,
  "00".repeat(32),
  `${"00".repeat(31)}80`,
  `ed${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(31)}`,
  `ee${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(31)}`,
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]);

/** True where `key` may stand in a genesis or a policy: not one of the points of small order. */
export function isSoundKey(key: PublicKey): boolean {
  return !smallOrderKeys.has(key);
}

type Key = ReturnType<typeof createPublicKey>;
const importedKeysMax = 4096;

/** Ed25519 by the platform's OpenSSL; keys are imported once. */
export class Ed25519Verifier implements Verifier {
  readonly #keys = new Map<PublicKey, Key | null>();

  /** Strictly, as RFC 8032 §5.1.7 has it: no point of small order, no second form of a scalar. */
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== 64) return false;
    const imported = this.#import(key);
    return imported !== null && platformVerify(null, message, imported, signature);
  }

  #import(key: PublicKey): Key | null {
    let imported = this.#keys.get(key);
    if (imported === undefined) {
      if (this.#keys.size >= importedKeysMax) this.#keys.clear();
      imported = isSoundKey(key) ? importPublicKey(key) : null;
      this.#keys.set(key, imported);
    }
    return imported;
  }
}

function importPublicKey(key: PublicKey): Key | null {
  try {
    return createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: base64url(fromHex(key)) },
      format: "jwk",
    });
  } catch {
    return null;
  }
}

/** A signer from a 32-byte Ed25519 seed (RFC 8032 §5.1.5). */
export function ed25519Signer(seed: Uint8Array, publicKey: PublicKey): Signer {
  assert(seed.length === 32, "an Ed25519 seed is 32 bytes");
  const jwk = { kty: "OKP", crv: "Ed25519", d: base64url(seed), x: base64url(fromHex(publicKey)) };
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  const derived = createPublicKey(key).export({ format: "jwk" }).x;
  assert(derived === jwk.x, "the public key belongs to the seed");
  return { publicKey, sign: (message) => platformSign(null, message, key) };
}
