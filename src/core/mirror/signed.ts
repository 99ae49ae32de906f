import { type Digest, fail, limits, ok, type PublicKey, type Result } from "../base/index.ts";
import { bytes, encode, exactBytes, fields, read, type Shape } from "../codec/index.ts";
import {
  type Kind,
  type Signer,
  signingBytes,
  taggedDigest,
  type Verifier,
} from "../crypto/index.ts";

/** A record with its identity and signature. */
export interface Signed<T> {
  readonly id: Digest;
  readonly record: T;
  readonly wire: Uint8Array;
}

/** Signs the body of a record as one of its kind. */
export function signBody<T>(
  kind: Kind,
  {
    record,
    body,
    signer,
  }: { readonly record: T; readonly body: Uint8Array; readonly signer: Signer },
): Signed<T> {
  const id = taggedDigest(kind, body);
  const signature = signer.sign(signingBytes(kind, id));
  return { id, record, wire: encode([body, signature]) };
}

const envelopeShape: Shape<{ body: Uint8Array; signature: Uint8Array }> = (value, what) => {
  const [body, signature] = fields(2)(value, what);
  return {
    body: bytes(limits.messageBytesMax)(body, `${what}.body`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

/** Faults: MALFORMED_*, NOT_CANONICAL, WRONG_GROUP, BAD_SIGNATURE. */
export function readSigned<T extends { readonly group: Digest }>(
  wire: Uint8Array,
  how: {
    readonly kind: Kind;
    readonly shape: Shape<T>;
    readonly groups: ReadonlySet<Digest> | undefined;
    readonly verifier: Verifier;
    readonly by: (record: T) => PublicKey;
  },
): Result<Signed<T>> {
  const envelope = read(wire, envelopeShape, how.kind);
  if (!envelope.ok) return envelope;
  const { body, signature } = envelope.value;
  const record = read(body, how.shape, how.kind);
  if (!record.ok) return record;
  if (how.groups?.has(record.value.group) === false)
    return fail("WRONG_GROUP", "the record is for another network");
  const id = taggedDigest(how.kind, body);
  if (!how.verifier.verify(how.by(record.value), signingBytes(how.kind, id), signature)) {
    return fail("BAD_SIGNATURE", "the record is not signed by the key it names");
  }
  return ok({ id, record: record.value, wire });
}

/** The record in an envelope; its signature is not checked. */
export function bodyOf<T>(wire: Uint8Array, kind: Kind, shape: Shape<T>): Result<T> {
  const envelope = read(wire, envelopeShape, kind);
  return envelope.ok ? read(envelope.value.body, shape, kind) : envelope;
}
