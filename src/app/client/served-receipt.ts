import { type InnerList, type Item, parseDictionary } from "structured-headers";
import {
  isSigned,
  receiptTag,
  type ServedClaim,
  type ServedReceipt,
  signatureParams,
} from "../../core/accountability/index.ts";
import { type Digest, isDigest, isPublicKey, toHex } from "../../core/base/index.ts";
import type { Trust } from "./trust.ts";

/** An HTTP answer about a file, with its host's signature if it gave one that verifies. */
export interface SignedAnswer {
  readonly status: number;
  /** Height that the host says it is of. */
  readonly height: number;
  readonly body: Uint8Array;
  readonly receipt: ServedReceipt | undefined;
  /** Why there is no receipt. */
  readonly problem: string | undefined;
}

/** Asks a host for a file as any client would, and for its signature under the answer (RFC 9421 §5). */
export async function askSigned(trust: Trust, url: string, nonce: string): Promise<SignedAnswer> {
  const accept = `smalti=();nonce="${nonce}";tag="${receiptTag}"`;
  const response = await fetch(url, {
    headers: { "accept-signature": accept },
    redirect: "manual",
    signal: AbortSignal.timeout(60_000),
  });
  const body = new Uint8Array(await response.arrayBuffer());
  const { status, headers } = response;
  const height = Number(headers.get("smalti-height") ?? Number.NaN);
  const claim = claimOf(headers, { trust, url, status, height, nonce });
  const signature = bytesIn(headers.get("signature"), "smalti");
  const none = { status, height, body, receipt: undefined };
  if (typeof claim === "string") return { ...none, problem: claim };
  if (signature?.length !== 64) return { ...none, problem: "the answer carries no signature" };
  const receipt = { claim, signature };
  if (!isSigned(receipt, trust.verifier))
    return { ...none, problem: "the signature under the answer is bad" };
  return { status, height, body, receipt, problem: undefined };
}

function dictionaryOf(header: string | null): Map<string, Item | InnerList> | undefined {
  try {
    return header === null ? undefined : parseDictionary(header);
  } catch {
    return undefined;
  }
}

function bytesIn(header: string | null, label: string): Uint8Array | undefined {
  const value = dictionaryOf(header)?.get(label)?.[0];
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** What the answer claims, if its signature covers what a receipt covers; else why not. */
function claimOf(
  headers: Headers,
  about: {
    readonly trust: Trust;
    readonly url: string;
    readonly status: number;
    readonly height: number;
    readonly nonce: string;
  },
): ServedClaim | string {
  const input = dictionaryOf(headers.get("signature-input"))?.get("smalti");
  if (input === undefined) return "the host did not sign its answer";
  const [, parameters] = input;
  const [key, created] = [parameters.get("keyid"), parameters.get("created")];
  if (!isPublicKey(key) || typeof created !== "number") return "the signature names no host key";
  if (!Number.isSafeInteger(about.height)) return "the answer names no height";
  if (headers.get("smalti-network") !== about.trust.network.group)
    return "the answer is of another network";
  const claim: ServedClaim = {
    group: about.trust.network.group,
    key,
    method: "GET",
    path: new URL(about.url).pathname,
    status: about.status,
    content: contentOf(headers, about.status),
    height: about.height,
    createdS: created,
    nonce: about.nonce,
  };
  const told = headers.get("signature-input") ?? "";
  return told === `smalti=${signatureParams(claim)}`
    ? claim
    : "the signature does not cover what a receipt covers";
}

function contentOf(headers: Headers, status: number): Digest | undefined {
  if (status === 404) return undefined;
  const bytes = bytesIn(headers.get("repr-digest"), "sha-256");
  const content = bytes === undefined ? undefined : toHex(bytes);
  return isDigest(content) ? content : undefined;
}

/** Nonces are as long as a digest, and never used twice. */
export function newNonce(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
}
