import { type Digest, fromHex } from "../base/index.ts";
import { encode } from "../codec/index.ts";
import { taggedDigest } from "../crypto/index.ts";

/** Where a group splits: a host joins at most one new group there. */
export interface SplitPoint {
  readonly group: Digest;
  /** Leaves of the certified log at which the new groups begin. */
  readonly size: number;
}

/** What a member of a new group signs: the point stands in it by itself, so that two of one point convict. */
export function splitIdentity({ group, size }: SplitPoint, body: Digest): Digest {
  return taggedDigest("split", encode([fromHex(group), size, fromHex(body)]));
}
