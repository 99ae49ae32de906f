import { createHash, hash } from "node:crypto";
import { concatBytes, type Digest, fromHex, toHex, utf8 } from "../base/index.ts";

/** SHA-256 of `bytes`, as hex. */
export function sha256(bytes: Uint8Array): Digest {
  return hash("sha256", bytes, "hex") as Digest;
}

/** SHA-256 of a text in UTF-8, as 32 bytes. */
export function sha256Text(text: string): Uint8Array {
  return hash("sha256", text, "buffer");
}

/** SHA-256 of the concatenation of `parts`, as 32 bytes. */
export function sha256Bytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = joinedIfShort(parts);
  if (joined !== undefined) return hash("sha256", joined, "buffer");
  const state = createHash("sha256");
  for (const part of parts) state.update(part);
  return state.digest();
}

/** Up to here copying costs less than a hash object does. */
const joinedMax = 4096;

function joinedIfShort(parts: readonly Uint8Array[]): Uint8Array | undefined {
  if (parts.length === 1) return parts[0];
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return length <= joinedMax ? concatBytes(parts) : undefined;
}

/** Everything we hash or sign has a kind; no bytes of one kind can be taken for another's. */
export type Kind =
  | "header"
  | "block"
  | "genesis"
  | "genesis-block"
  | "commit"
  | "node"
  | "leaf"
  | "chunks"
  | "audit"
  | "state"
  | "policy"
  | "update"
  | "policy-change"
  | "opinion"
  | "evidence"
  | "possession"
  | "append"
  | "pardon"
  | "split"
  | "split-group";

const prefixes = new Map<Kind, Uint8Array>();

function prefix(kind: Kind): Uint8Array {
  let bytes = prefixes.get(kind);
  if (bytes === undefined) {
    bytes = utf8(`smalti/${kind}/v1\n`);
    prefixes.set(kind, bytes);
  }
  return bytes;
}

/** Domain-separated SHA-256: `H("smalti/<kind>/v1\n" || bytes)`. */
export function taggedDigest(kind: Kind, bytes: Uint8Array): Digest {
  const head = prefix(kind);
  if (head.length + bytes.length <= joinedMax) return sha256(concatBytes([head, bytes]));
  return toHex(sha256Bytes(head, bytes)) as Digest;
}

/** What a signature of `kind` over `digest` really signs. */
export function signingBytes(kind: Kind, digest: Digest): Uint8Array {
  const head = prefix(kind);
  const bytes = new Uint8Array(head.length + 32);
  bytes.set(head);
  bytes.set(fromHex(digest), head.length);
  return bytes;
}
