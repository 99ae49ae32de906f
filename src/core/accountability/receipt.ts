import { type Digest, fromHex, limits, type PublicKey, toBase64, utf8 } from "../base/index.ts";
import {
  digest,
  exactBytes,
  fields,
  natural,
  optional,
  publicKey,
  type Shape,
  text,
  type Value,
} from "../codec/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import { parsePath } from "../mirror/index.ts";

/** What a host says of one answer: "at this height, this path had these bytes", or that nothing stood there. */
export interface ServedClaim {
  readonly group: Digest;
  /** The host's key: its name on links and in signatures. */
  readonly key: PublicKey;
  readonly method: "GET" | "HEAD";
  /** As the client wrote it, percent-encoded, without the query. */
  readonly path: string;
  /** 200, 206 or 404. */
  readonly status: number;
  /** Of the whole file; `undefined` where nothing stands. */
  readonly content: Digest | undefined;
  readonly height: number;
  /** POSIX seconds of the host's clock. */
  readonly createdS: number;
  /** What the client asked to have signed with it; empty if nothing. */
  readonly nonce: string;
}

/** An answer for which its host stands with its signature (RFC 9421). */
export interface ServedReceipt {
  readonly claim: ServedClaim;
  readonly signature: Uint8Array;
}

/** The `tag` parameter of a receipt's signature (RFC 9421 §2.3). */
export const receiptTag = "smalti-receipt";
const nonceLengthMax = 128;
const noncePattern = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,128}$/;

/** What can stand in a quoted parameter without an escape. */
export function isNonce(nonce: string): boolean {
  return noncePattern.test(nonce);
}

/** The value of `Signature-Input` for a claim: what is covered, and the parameters (RFC 9421 §2.3). */
export function signatureParams(claim: ServedClaim): string {
  const content = claim.content === undefined ? "" : ' "repr-digest"';
  const covered = `("@method";req "@path";req "@status"${content} "smalti-height" "smalti-network")`;
  const nonce = claim.nonce === "" ? "" : `;nonce="${claim.nonce}"`;
  return `${covered};created=${claim.createdS};keyid="${claim.key}";alg="ed25519";tag="${receiptTag}"${nonce}`;
}

/** The value of `Repr-Digest` (RFC 9530). */
function reprDigest(content: Digest): string {
  return `sha-256=:${toBase64(fromHex(content))}:`;
}

/** The signature base (RFC 9421 §2.5): what is signed, byte for byte. */
export function signatureBase(claim: ServedClaim): Uint8Array {
  const lines = [
    `"@method";req: ${claim.method}`,
    `"@path";req: ${claim.path}`,
    `"@status": ${claim.status}`,
    ...(claim.content === undefined ? [] : [`"repr-digest": ${reprDigest(claim.content)}`]),
    `"smalti-height": ${claim.height}`,
    `"smalti-network": ${claim.group}`,
    `"@signature-params": ${signatureParams(claim)}`,
  ];
  return utf8(lines.join("\n"));
}

/** Signs an answer with the host's own key (RFC 9421). */
export function signServed(claim: ServedClaim, signer: Pick<Signer, "sign">): ServedReceipt {
  return { claim, signature: signer.sign(signatureBase(claim)) };
}

/** True if the host that a receipt names has signed it. */
export function isSigned({ claim, signature }: ServedReceipt, verifier: Verifier): boolean {
  return verifier.verify(claim.key, signatureBase(claim), signature);
}

/**
 * The file that a request path names, without links: tree first. `undefined` for what no receipt is given for:
 * directories, past heights, the host's own pages.
 */
export function filePathOf(path: string): readonly string[] | undefined {
  if (!path.startsWith("/") || path.endsWith("/")) return undefined;
  if (path.startsWith("/.") || path.startsWith("/@")) return undefined;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path.slice(1));
  } catch {
    return undefined;
  }
  const names = parsePath(decoded);
  return names.ok && names.value.length > 1 ? names.value : undefined;
}

export function receiptValue({ claim, signature }: ServedReceipt): Value {
  return [
    fromHex(claim.key),
    claim.method === "HEAD",
    claim.path,
    claim.status,
    claim.content === undefined ? null : fromHex(claim.content),
    claim.height,
    claim.createdS,
    claim.nonce,
    signature,
  ];
}

/** A receipt of the network `group`. */
export function receiptShape(group: Digest): Shape<ServedReceipt> {
  return (value, what) => {
    const [key, isHead, path, status, content, height, createdS, nonce, signature] = fields(9)(
      value,
      what,
    );
    return {
      claim: {
        group,
        key: publicKey(key, `${what}.key`),
        method: isHead === true ? "HEAD" : "GET",
        path: text(limits.pathBytesMax)(path, `${what}.path`),
        status: natural(599)(status, `${what}.status`),
        content: optional(digest)(content, `${what}.content`) ?? undefined,
        height: natural()(height, `${what}.height`),
        createdS: natural()(createdS, `${what}.createdS`),
        nonce: text(nonceLengthMax)(nonce, `${what}.nonce`),
      },
      signature: exactBytes(64)(signature, `${what}.signature`),
    };
  };
}
