import { createHash, createPrivateKey, createPublicKey, hash } from "node:crypto";
import type { PublicKey } from "../src/core/base/index.ts";
import {
  Ed25519Verifier,
  ed25519Signer,
  type Signer,
  type Verifier,
} from "../src/core/crypto/index.ts";

/** Signers by name, and who checks them: real ones, or keyed hashes that only the simulator could forge. */
export interface Signatures {
  readonly signer: (name: string) => Signer;
  readonly verifier: Verifier;
}

function keyedHash(key: PublicKey, message: Uint8Array): Uint8Array {
  return hash("sha512", Buffer.concat([Buffer.from(key), message]), "buffer");
}

const hashed: Signatures = {
  signer: (name) => {
    const publicKey = createHash("sha256").update(name).digest("hex") as PublicKey;
    return { publicKey, sign: (message) => keyedHash(publicKey, message) };
  },
  verifier: {
    verify: (key, message, signature) => Buffer.compare(keyedHash(key, message), signature) === 0,
  },
};

/** PKCS #8 of an Ed25519 seed (RFC 8410): this, then 32 bytes. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

function real(): Signatures {
  return {
    signer: (name) => {
      const seed = createHash("sha256").update(`smalti sim key ${name}`).digest();
      const key = createPrivateKey({
        key: Buffer.concat([pkcs8Head, seed]),
        format: "der",
        type: "pkcs8",
      });
      const { x = "" } = createPublicKey(key).export({ format: "jwk" });
      return ed25519Signer(seed, Buffer.from(x, "base64url").toString("hex") as PublicKey);
    },
    verifier: new Ed25519Verifier(),
  };
}

export function signaturesOf(isReal: boolean): Signatures {
  return isReal ? real() : hashed;
}
