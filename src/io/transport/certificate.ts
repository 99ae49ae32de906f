import "reflect-metadata";
import { type KeyObject, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { PublicKey } from "../../core/base/index.ts";

/** PEM key and certificate for TLS. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * A self-signed Ed25519 certificate for a host's identity. Nobody checks the certificate itself: a peer
 * compares the key in it with the one it expects, and the handshake proves that the private half is there.
 */
export async function selfSigned(identity: {
  readonly publicKey: PublicKey;
  readonly seed: Uint8Array;
}): Promise<Certificate> {
  const jwk = {
    kty: "OKP",
    crv: "Ed25519",
    d: Buffer.from(identity.seed).toString("base64url"),
    x: Buffer.from(identity.publicKey, "hex").toString("base64url"),
  };
  const { subtle } = webcrypto;
  const publicJwk = { kty: jwk.kty, crv: jwk.crv, x: jwk.x };
  const keys = await withoutExperimentalWarning(async () => ({
    privateKey: await subtle.importKey("jwk", jwk, "Ed25519", true, ["sign"]),
    publicKey: await subtle.importKey("jwk", publicJwk, "Ed25519", true, ["verify"]),
  }));
  x509.cryptoProvider.set("node", webcrypto);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `CN=smalti ${identity.publicKey.slice(0, 16)}`,
    notBefore: new Date("2020-01-01T00:00:00Z"),
    notAfter: new Date("2120-01-01T00:00:00Z"),
    signingAlgorithm: { name: "Ed25519" },
    keys,
  });
  const pkcs8 = Buffer.from(await subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    cert: certificate.toString("pem"),
  };
}

/** Node 20 calls Ed25519 in WebCrypto experimental; the primitive is OpenSSL's either way. */
async function withoutExperimentalWarning<T>(work: () => Promise<T>): Promise<T> {
  const emit = process.emitWarning;
  process.emitWarning = () => undefined;
  try {
    return await work();
  } finally {
    process.emitWarning = emit;
  }
}

/** The raw Ed25519 key of a peer's certificate, or `undefined` if it is of another kind. */
export function rawKeyOf(key: KeyObject): PublicKey | undefined {
  if (key.asymmetricKeyType !== "ed25519") return undefined;
  const { x = "" } = key.export({ format: "jwk" });
  return Buffer.from(x, "base64url").toString("hex") as PublicKey;
}
