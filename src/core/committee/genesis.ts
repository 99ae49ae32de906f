import {
  type Digest,
  fail,
  fromHex,
  limits,
  ok,
  type PublicKey,
  type Result,
  Author as toAuthor,
} from "../base/index.ts";
import { encode } from "../codec/index.ts";
import {
  type Algorithm,
  type Configured,
  type FaultBudget,
  type Protocol,
  quorumOf,
} from "../consensus/index.ts";
import { type Cosigner, isSoundKey, taggedDigest } from "../crypto/index.ts";
import type { Writer } from "./writer.ts";

/** What a network starts from; the only thing a client must be given. */
export interface Genesis {
  /** A label for people; part of the identity. */
  readonly name: string;
  /** POSIX milliseconds: the order's clock starts here. */
  readonly timeMs: number;
  readonly faults: FaultBudget;
  /** The algorithm that orders, and what it wants to know. */
  readonly consensus: { readonly algorithm: string; readonly parameters: unknown };
  readonly writers: readonly GenesisWriter[];
  readonly administrators: readonly PublicKey[];
  readonly publishers: readonly {
    readonly key: PublicKey;
    readonly name: string;
    readonly trees: readonly string[];
    /** Updates that are taken of him in an hour; `undefined`: as many as the limits say. */
    readonly perHour?: number | undefined;
  }[];
}

/** One writer as a genesis names it: a key for each role, and where it is found. */
export interface GenesisWriter {
  readonly name: string;
  readonly nodeKey: PublicKey;
  readonly blockKey: PublicKey;
  readonly cosignKey: PublicKey;
  /** `host:port` of its links. A hint, not part of the identity. */
  readonly address: string;
  /** Base URL of its HTTP service. A hint, not part of the identity. */
  readonly http: string;
}

/** A genesis that was checked: what every room needs to know of the network, in epoch 0. */
export interface Network {
  readonly genesis: Genesis;
  /** Identity of the network: hash of everything in the genesis but the hints. */
  readonly group: Digest;
  readonly epoch: number;
  /** POSIX milliseconds: the order's clock starts here. */
  readonly startMs: number;
  readonly faults: FaultBudget;
  /** How its writers agree on an order. */
  readonly consensus: Protocol;
  readonly writers: readonly (Writer & { readonly address: string; readonly http: string })[];
  /** n − f − c: two such sets share a correct writer; certificates need so many. */
  readonly quorum: number;
  /** Origin line of its checkpoints. */
  readonly origin: string;
  readonly cosigners: readonly Cosigner[];
  /** What it split from, and where; `undefined` for a network that begins with its genesis. */
  readonly parent?: NetworkParent;
}

/** The network that a group came from, and the checkpoint up to which both are one. */
export interface NetworkParent {
  readonly network: Network;
  readonly at: {
    /** Leaves and root of the log; the note that certifies them. */
    readonly size: number;
    readonly root: Uint8Array;
    readonly note: string;
    readonly commit: { readonly index: number; readonly digest: Digest };
  };
}

/** A network and those that it split from, the oldest first. */
export function lineageOf(network: Network): readonly Network[] {
  return network.parent === undefined ? [network] : [...lineageOf(network.parent.network), network];
}

const writerName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Checks a genesis. Faults: GENESIS_*, and those of the algorithm that it names (of the dag: RULE_*). */
export function networkOf(genesis: Genesis, algorithms: readonly Algorithm[]): Result<Network> {
  const { writers, faults, consensus } = genesis;
  if (faults.n !== writers.length)
    return fail(
      "GENESIS_COUNT",
      `the rule is for ${faults.n} writers, the list has ${writers.length}`,
    );
  const algorithm = algorithms.find(({ name }) => name === consensus.algorithm);
  if (algorithm === undefined)
    return fail(
      "GENESIS_CONSENSUS",
      `this program knows no algorithm ${JSON.stringify(consensus.algorithm)}; it has: ${algorithms.map(({ name }) => name).join(", ")}`,
    );
  const configured = algorithm.configure(consensus.parameters, faults);
  if (!configured.ok) return configured;
  const fault = writersFault(writers) ?? adminsFault(genesis);
  if (fault !== undefined) return fail("GENESIS_KEYS", fault);
  const group = taggedDigest("genesis", genesisBytes(genesis, configured.value));
  const members = writers.map((writer, i) => ({ ...writer, index: toAuthor(i) }));
  const startMs = genesis.timeMs;
  return ok(groupOf({ genesis, group, startMs, faults, members }, configured.value));
}

/** A group of writers in epoch 0: of a genesis, or what is left of one after a split. */
export function groupOf(
  of: Pick<Network, "genesis" | "group" | "startMs" | "faults" | "parent"> & {
    readonly members: Network["writers"];
  },
  configured: Configured,
): Network {
  const { members: writers, group, startMs, faults, parent } = of;
  const epoch = 0;
  return {
    genesis: of.genesis,
    group,
    epoch,
    startMs,
    faults,
    consensus: configured.protocolOf({
      group,
      epoch,
      startMs,
      keys: writers.map(({ blockKey }) => blockKey),
      batchesBefore: parent?.at.commit.index ?? 0,
    }),
    writers,
    quorum: quorumOf(faults),
    origin: `smalti/${group.slice(0, 16)}/${epoch}`,
    cosigners: writers.map((writer) => ({
      name: cosignerName(group, writer.name),
      key: writer.cosignKey,
    })),
    ...(parent === undefined ? {} : { parent }),
  };
}

function cosignerName(group: Digest, writer: string): string {
  return `smalti/${group.slice(0, 16)}/${writer}`;
}

/** Duplicate keys would count one writer twice (pitfall 36); one key serves one role. */
function writersFault(writers: readonly GenesisWriter[]): string | undefined {
  const keys = writers.flatMap((writer) => [writer.nodeKey, writer.blockKey, writer.cosignKey]);
  if (new Set(keys).size !== keys.length)
    return "every writer has three keys of its own, one a role";
  if (!keys.every(isSoundKey)) return "a key is of small order and proves nothing";
  if (new Set(writers.map((writer) => writer.name)).size !== writers.length)
    return "writers have distinct names";
  const bad = writers.find((writer) => !writerName.test(writer.name));
  return bad === undefined ? undefined : `${JSON.stringify(bad.name)} is not a writer's name`;
}

function adminsFault({ administrators, publishers, name }: Genesis): string | undefined {
  const keys = [...administrators, ...publishers.map((publisher) => publisher.key)];
  if (!keys.every(isSoundKey)) return "a key is of small order and proves nothing";
  if (new Set(administrators).size !== administrators.length)
    return "administrators have distinct keys";
  if (new Set(publishers.map((publisher) => publisher.key)).size !== publishers.length)
    return "publishers have distinct keys";
  if (publishers.length > limits.publishersMax) return "too many publishers";
  return name.length > 0 && name.length <= 64
    ? undefined
    : "the network's name has 1…64 characters";
}

function genesisBytes(genesis: Genesis, { identity }: Configured): Uint8Array {
  const { writers, administrators, publishers } = genesis;
  return encode([
    genesis.name,
    genesis.timeMs,
    ...identity,
    writers.map((writer) => [
      writer.name,
      fromHex(writer.nodeKey),
      fromHex(writer.blockKey),
      fromHex(writer.cosignKey),
    ]),
    administrators.map(fromHex),
    publishers.map(({ key, name, trees, perHour }) => [
      fromHex(key),
      name,
      trees,
      ...(perHour === undefined ? [] : [perHour]),
    ]),
  ]);
}
