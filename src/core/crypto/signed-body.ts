import { type Digest, fromHex } from "../base/index.ts";
import { digest, exactBytes, fields, type Shape, type Value } from "../codec/index.ts";

/** One of two things that a host signed for a place where only one may stand. `body`: hash of what it signed. */
export interface SignedBody {
  readonly body: Digest;
  readonly signature: Uint8Array;
}

/** Two things that a host signed for one place. */
export interface SignedTwins {
  readonly first: SignedBody;
  readonly second: SignedBody;
}

function signedBodyValue({ body, signature }: SignedBody): Value {
  return [fromHex(body), signature];
}

/** Reads one half of {@link twinValues}. */
export const signedBodyShape: Shape<SignedBody> = (value, what) => {
  const [body, signature] = fields(2)(value, what);
  return {
    body: digest(body, `${what}.body`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

/** The same two things are the same proof, whichever came first. */
export function twinValues({ first, second }: SignedTwins): readonly Value[] {
  const [a, b] = first.body < second.body ? [first, second] : [second, first];
  return [a, b].map(signedBodyValue);
}

/** Both halves differ, and both are signed. */
export function areSignedTwins(
  { first, second }: SignedTwins,
  isSigned: (half: SignedBody) => boolean,
): boolean {
  return first.body !== second.body && isSigned(first) && isSigned(second);
}
