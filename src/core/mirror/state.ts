import {
  type Author,
  type Digest,
  fromHex,
  Height,
  limits,
  type PublicKey,
  Author as toAuthor,
} from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  optional,
  publicKey,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import { emptyFrontier, type Frontier } from "../crypto/index.ts";
import { matrixOf, type OpinionMatrix, statementShape, statementValue } from "../opinion/index.ts";
import { type Policy, policyStateShape, policyValue } from "./policy.ts";

/** An update that is accepted and not yet published. */
export interface PendingUpdate {
  readonly id: Digest;
  readonly publisher: PublicKey;
  readonly wire: Uint8Array;
  readonly acceptedMs: number;
  readonly heldBy: ReadonlySet<Author>;
}

/** The replicated state between two commits: small, immutable, the same at every correct host. */
export interface MirrorState {
  readonly height: Height;
  readonly trees: Digest | undefined;
  readonly policy: Policy;
  /** The last executed commit. */
  readonly commit: { readonly index: number; readonly digest: Digest };
  readonly tsMs: number;
  /** Application messages ordered so far. */
  readonly messages: number;
  /** Clients' records taken so far. */
  readonly appends: number;
  readonly log: Frontier;
  /** Who thinks what of whom, as ordered. */
  readonly opinions: OpinionMatrix;
  /** Writers that evidence convicted and nobody pardoned. */
  readonly convicted: ReadonlySet<Author>;
  /** Proofs against hosts that are no writers, so many of each writer's reporting: where its next one goes. */
  readonly readerProofs: ReadonlyMap<Author, number>;
  /** Other groups of the same past, whose publishers' records count here too. */
  readonly origins: ReadonlySet<Digest>;
  /** In the order of acceptance. */
  readonly pending: ReadonlyMap<Digest, PendingUpdate>;
  /** Order time of the last checkpoint that was due. */
  readonly checkpointMs: number;
  /** Updates of each publisher that were taken in an hour of the order's time, counted since 1970. */
  readonly taken: { readonly hour: number; readonly updates: ReadonlyMap<PublicKey, number> };
}

/** The time in which updates are counted, milliseconds. */
export const hourMs = 3_600_000;

/** The hour of order time in which quotas count. */
export function hourOf(tsMs: number): number {
  return Math.floor(tsMs / hourMs);
}

export interface MirrorGenesis {
  readonly policy: Policy;
  readonly commit: Digest;
  readonly timeMs: number;
}

/** The replicated state before the first batch. */
export function genesisState({ policy, commit, timeMs }: MirrorGenesis): MirrorState {
  return {
    height: Height(0),
    trees: undefined,
    policy,
    commit: { index: 0, digest: commit },
    tsMs: timeMs,
    messages: 0,
    appends: 0,
    log: emptyFrontier,
    opinions: new Map(),
    convicted: new Set(),
    readerProofs: new Map(),
    origins: new Set(),
    pending: new Map(),
    checkpointMs: 0,
    taken: { hour: 0, updates: new Map() },
  };
}

/** Of thousands of publishers it is most of the state, and changes hardly ever: it is encoded once. */
const policies = new WeakMap<Policy, Uint8Array>();

function encodedPolicy(policy: Policy): Uint8Array {
  const known = policies.get(policy);
  if (known !== undefined) return known;
  const encoded = encode(policyValue(policy));
  policies.set(policy, encoded);
  return encoded;
}

/** A policy as it stands in the state: its own encoding, as bytes. */
const policyShape: Shape<Policy> = (value, what) => {
  const encoded = bytes(policyBytesMax)(value, what);
  const policy = read(encoded, policyStateShape, what, policyItemsMax);
  require(policy.ok, policy.ok ? what : policy.error.detail);
  policies.set(policy.value, encoded);
  return policy.value;
};

const policyBytesMax =
  limits.publishersMax * 256 + limits.grantsTotalMax * (limits.grantBytesMax + 8) + 1_000_000;
const policyItemsMax = limits.publishersMax * 8 + limits.grantsTotalMax + 10_000;

/** The bytes of the replicated state. */
export function encodeState(state: MirrorState): Uint8Array {
  const pending: Value[] = [];
  for (const { id, publisher, wire, acceptedMs, heldBy } of state.pending.values()) {
    const holders = [...heldBy].sort((a, b) => a - b);
    pending.push([fromHex(id), fromHex(publisher), wire, acceptedMs, holders]);
  }
  return encode([
    state.height,
    state.trees === undefined ? null : fromHex(state.trees),
    encodedPolicy(state.policy),
    [state.commit.index, fromHex(state.commit.digest)],
    state.tsMs,
    [state.messages, state.appends],
    [state.log.size, state.log.hashes],
    [...state.opinions.values()].map(statementValue),
    [...state.convicted].sort((a, b) => a - b),
    [...state.readerProofs].sort(([a], [b]) => a - b),
    [...state.origins].map(fromHex),
    pending,
    state.checkpointMs,
    [state.taken.hour, [...state.taken.updates].map(([key, count]) => [fromHex(key), count])],
  ]);
}

const pendingShape: Shape<PendingUpdate> = (value, what) => {
  const [id, publisher, wire, acceptedMs, heldBy] = fields(5)(value, what);
  return {
    id: digest(id, `${what}.id`),
    publisher: publicKey(publisher, `${what}.publisher`),
    wire: bytes(65536)(wire, `${what}.wire`),
    acceptedMs: natural()(acceptedMs, `${what}.acceptedMs`),
    heldBy: new Set(list(natural(65535), 64)(heldBy, `${what}.heldBy`).map(toAuthor)),
  };
};

const readerProofsShape: Shape<readonly [Author, number]> = (value, what) => {
  const [author, count] = fields(2)(value, what);
  return [toAuthor(natural(65535)(author, `${what}.author`)), natural()(count, `${what}.count`)];
};

const stateShape: Shape<MirrorState> = (value, what) => {
  const [height, trees, policy, commit, tsMs, messages, log, ...more] = fields(13, 1)(value, what);
  const [opinions, convicted, readerProofs, origins, pending, checkpointMs, taken] = more;
  const [messageCount, appends] = fields(2)(messages, `${what}.messages`);
  const [index, hash] = fields(2)(commit, `${what}.commit`);
  const [size, hashes] = fields(2)(log, `${what}.log`);
  return {
    height: Height(natural()(height, `${what}.height`)),
    trees: optional(digest)(trees, `${what}.trees`) ?? undefined,
    policy: policyShape(policy, `${what}.policy`),
    commit: { index: natural()(index, `${what}.index`), digest: digest(hash, `${what}.digest`) },
    tsMs: natural()(tsMs, `${what}.tsMs`),
    messages: natural()(messageCount, `${what}.messages`),
    appends: natural()(appends, `${what}.appends`),
    log: {
      size: natural()(size, `${what}.size`),
      hashes: list(exactBytes(32), 64)(hashes, `${what}.hashes`),
    },
    opinions: matrixOf(
      list(statementShape, limits.committeeWritersMax ** 2)(opinions, `${what}.opinions`),
    ),
    convicted: new Set(
      list(natural(65535), 64)(convicted, `${what}.convicted`).map((author) => toAuthor(author)),
    ),
    readerProofs: new Map(
      list(readerProofsShape, limits.committeeWritersMax)(readerProofs, `${what}.readerProofs`),
    ),
    origins: new Set(list(digest, 64)(origins, `${what}.origins`)),
    pending: new Map(
      list(pendingShape, 65536)(pending, `${what}.pending`).map((update) => [update.id, update]),
    ),
    checkpointMs: natural()(checkpointMs, `${what}.checkpointMs`),
    taken:
      taken === undefined ? { hour: 0, updates: new Map() } : takenShape(taken, `${what}.taken`),
  };
};

const takenShape: Shape<MirrorState["taken"]> = (value, what) => {
  const [hour, updates] = fields(2)(value, what);
  const countShape: Shape<readonly [PublicKey, number]> = (item, name) => {
    const [key, count] = fields(2)(item, name);
    return [publicKey(key, `${name}.key`), natural()(count, `${name}.count`)];
  };
  return {
    hour: natural()(hour, `${what}.hour`),
    updates: new Map(list(countShape, limits.publishersMax)(updates, `${what}.updates`)),
  };
};

/** Items of the largest state that the limits allow, with room to spare: it is this host's own. */
const stateItemsMax =
  limits.pendingUpdatesMax * (8 + limits.committeeWritersMax) +
  limits.committeeWritersMax ** 2 * 64 +
  limits.publishersMax * 4 +
  100_000;

/** Reads the replicated state. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeState(encoded: Uint8Array): ReturnType<typeof read<MirrorState>> {
  return read(encoded, stateShape, "mirror state", stateItemsMax);
}
