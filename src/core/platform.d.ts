// biome-ignore-all lint/complexity/useMaxParams: the platform's own signatures
// The little of the platform that ring 1 may name: synchronous, deterministic hashing and signing.
declare module "node:crypto" {
  interface KeyObject {
    export(options: { format: "jwk" }): { x?: string; d?: string };
  }
  export function hash(algorithm: "sha256", data: Uint8Array, encoding: "hex"): string;
  export function hash(
    algorithm: "sha256",
    data: Uint8Array | string,
    encoding: "buffer",
  ): Uint8Array;
  export function createHash(algorithm: "sha256"): {
    update(data: Uint8Array): unknown;
    digest(): Uint8Array;
    digest(encoding: "hex"): string;
  };
  export function sign(algorithm: null, data: Uint8Array, key: KeyObject): Uint8Array;
  export function verify(
    algorithm: null,
    data: Uint8Array,
    key: KeyObject,
    signature: Uint8Array,
  ): boolean;
  export function createPrivateKey(input: { key: object; format: "jwk" }): KeyObject;
  export function createPublicKey(input: { key: object; format: "jwk" } | KeyObject): KeyObject;
}
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label: "utf-8", options: { fatal: boolean; ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}
