import { type Digest, fromHex, limits, type PublicKey, type Result, toHex } from "../base/index.ts";
import {
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  optional,
  publicKey,
  read,
  type Shape,
  text,
} from "../codec/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import { readSigned, type Signed, signBody } from "./signed.ts";

/** What the kinds of segments in the order carry. */
export const messageKinds = {
  /** Opaque bytes of the totally ordered broadcast. */
  application: 0,
  /** A publisher's {@link UpdateRecord}. */
  update: 1,
  /** "I have every byte of these updates", by the block's author. */
  held: 2,
  /** An administrator's {@link PolicyRecord}. */
  policy: 3,
  /** A signed statement of the block's author on another writer. */
  opinion: 4,
  /** Proof of misbehaviour, of a writer or of a reader. */
  evidence: 5,
  /** An administrator's {@link PardonRecord}. */
  pardon: 6,
  /** A group of the same past, whose publishers' records count here from now on. */
  origin: 7,
  /** A client's {@link AppendRecord}: messages of the broadcast that are ordered once. */
  append: 8,
} as const;

/** A publisher's signed announcement of one change list; the list itself never travels in blocks. */
export interface UpdateRecord {
  readonly group: Digest;
  readonly publisher: PublicKey;
  readonly tree: string;
  readonly changes: { readonly digest: Digest; readonly bytes: number };
  /** 16 random bytes: makes equal change lists distinct updates. */
  readonly nonce: string;
  /** Where the bytes come from, if writers are to see them there themselves before they say `held`. */
  readonly source?: UpdateSource;
}

/** An archive elsewhere that a tree follows. The order only counts who says `held`; hosts know what kinds there are. */
export interface UpdateSource {
  readonly kind: string;
  readonly url: string;
  /** Writers that must have seen the same; never fewer than a quorum. */
  readonly observers: number;
}

const sourceShape: Shape<UpdateSource> = (value, what) => {
  const [kind, url, observers] = fields(3)(value, what);
  return {
    kind: text(limits.sourceKindBytesMax)(kind, `${what}.kind`),
    url: text(limits.sourceUrlBytesMax)(url, `${what}.url`),
    observers: natural(limits.committeeWritersMax)(observers, `${what}.observers`),
  };
};

/** An update that its publisher signed, read and verified. */
export type SignedUpdate = Signed<UpdateRecord>;

const updateShape: Shape<UpdateRecord> = (value, what) => {
  const [group, publisher, tree, changes, length, nonce, from] = fields(7)(value, what);
  const source = optional(sourceShape)(from, `${what}.source`);
  return {
    group: digest(group, `${what}.group`),
    publisher: publicKey(publisher, `${what}.publisher`),
    tree: text(limits.treeNameBytesMax)(tree, `${what}.tree`),
    changes: {
      digest: digest(changes, `${what}.changes`),
      bytes: natural(limits.changeListBytesMax)(length, `${what}.bytes`),
    },
    nonce: toHex(exactBytes(16)(nonce, `${what}.nonce`)),
    ...(source ? { source } : {}),
  };
};

/** Signs an update with a publisher's key. */
export function signUpdate(record: UpdateRecord, signer: Signer): SignedUpdate {
  const { source } = record;
  const body = encode([
    fromHex(record.group),
    fromHex(record.publisher),
    record.tree,
    fromHex(record.changes.digest),
    record.changes.bytes,
    fromHex(record.nonce),
    source === undefined ? null : [source.kind, source.url, source.observers],
  ]);
  return signBody("update", { record, body, signer });
}

/** `groups`: those whose records count; `undefined` where the order has admitted the record already. */
export function readUpdate(
  wire: Uint8Array,
  groups: ReadonlySet<Digest> | undefined,
  verifier: Verifier,
): Result<SignedUpdate> {
  return readSigned(wire, {
    kind: "update",
    shape: updateShape,
    groups,
    verifier,
    by: (record) => record.publisher,
  });
}

/** Grants or takes away a publisher's right to write trees. */
export interface PolicyRecord {
  readonly group: Digest;
  readonly administrator: PublicKey;
  /** The policy version this record replaces; a stale one is refused, so records cannot be replayed. */
  readonly version: number;
  readonly publisher: PublicKey;
  readonly name: string;
  /** Names of trees, or prefixes that end in `*`; an empty list takes all rights away. */
  readonly trees: readonly string[];
  /** Updates of the publisher that are taken in an hour; `undefined`: as many as the limits say. */
  readonly perHour?: number | undefined;
}

export type SignedPolicy = Signed<PolicyRecord>;

const policyShape: Shape<PolicyRecord> = (value, what) => {
  const [group, administrator, version, publisher, name, trees, perHour] = fields(6, 1)(
    value,
    what,
  );
  return {
    group: digest(group, `${what}.group`),
    administrator: publicKey(administrator, `${what}.administrator`),
    version: natural()(version, `${what}.version`),
    publisher: publicKey(publisher, `${what}.publisher`),
    name: text(limits.treeNameBytesMax)(name, `${what}.name`),
    trees: list(text(limits.grantBytesMax), limits.grantsMax)(trees, `${what}.trees`),
    ...(perHour === undefined ? {} : { perHour: natural()(perHour, `${what}.perHour`) }),
  };
};

/** Signs a change of policy with an administrator's key. */
export function signPolicy(record: PolicyRecord, signer: Signer): SignedPolicy {
  const body = encode([
    fromHex(record.group),
    fromHex(record.administrator),
    record.version,
    fromHex(record.publisher),
    record.name,
    record.trees,
    ...(record.perHour === undefined ? [] : [record.perHour]),
  ]);
  return signBody("policy-change", { record, body, signer });
}

/** Reads and verifies a change of policy. Faults: MALFORMED_*, WRONG_GROUP, BAD_SIGNATURE. */
export function readPolicy(
  wire: Uint8Array,
  group: Digest,
  verifier: Verifier,
): Result<SignedPolicy> {
  return readSigned(wire, {
    kind: "policy-change",
    shape: policyShape,
    groups: new Set([group]),
    verifier,
    by: (record) => record.administrator,
  });
}

/** Lets a convicted host take part again; what was proven stays proven, and counts no more. */
export interface PardonRecord {
  readonly group: Digest;
  readonly administrator: PublicKey;
  readonly culprit: PublicKey;
  /** The last proof against it: a pardon cannot be kept for misdeeds to come. */
  readonly evidence: Digest;
  readonly reason: string;
}

export type SignedPardon = Signed<PardonRecord>;

const pardonShape: Shape<PardonRecord> = (value, what) => {
  const [group, administrator, culprit, evidence, reason] = fields(5)(value, what);
  return {
    group: digest(group, `${what}.group`),
    administrator: publicKey(administrator, `${what}.administrator`),
    culprit: publicKey(culprit, `${what}.culprit`),
    evidence: digest(evidence, `${what}.evidence`),
    reason: text(limits.reasonBytesMax)(reason, `${what}.reason`),
  };
};

/** Signs a pardon with an administrator's key. */
export function signPardon(record: PardonRecord, signer: Signer): SignedPardon {
  const { group, administrator, culprit, evidence, reason } = record;
  const body = encode([...[group, administrator, culprit, evidence].map(fromHex), reason]);
  return signBody("pardon", { record, body, signer });
}

/** Reads and verifies a pardon. Faults: MALFORMED_*, WRONG_GROUP, BAD_SIGNATURE. */
export function readPardon(
  wire: Uint8Array,
  group: Digest,
  verifier: Verifier,
): Result<SignedPardon> {
  return readSigned(wire, {
    kind: "pardon",
    shape: pardonShape,
    groups: new Set([group]),
    verifier,
    by: (record) => record.administrator,
  });
}

const heldShape: Shape<readonly Digest[]> = list(digest, 1024);

/** The message by which a writer says that it has every byte of some updates. */
export function encodeHeld(ids: readonly Digest[]): Uint8Array {
  return encode(ids.map(fromHex));
}

export function readHeld(wire: Uint8Array): Result<readonly Digest[]> {
  return read(wire, heldShape, "held");
}
