import { type Digest, fromHex, Height, limits, type PublicKey } from "../base/index.ts";
import {
  digest,
  encode,
  fields,
  list,
  natural,
  optional,
  publicKey,
  read,
  require,
  type Shape,
  text,
} from "../codec/index.ts";
import { taggedDigest } from "../crypto/index.ts";
import { type Policy, policyDigest } from "./policy.ts";

/** What the log holds, one leaf each, in order (`dag.md` §13). */
export type LogLeaf =
  | {
      readonly kind: "commit";
      readonly index: number;
      readonly digest: Digest;
      readonly tsMs: number;
    }
  | {
      readonly kind: "update";
      readonly id: Digest;
      readonly publisher: PublicKey;
      readonly tree: string;
      readonly changes: Digest;
      readonly outcome: OutcomeCode;
      /** The height it made; 0 if it was refused. */
      readonly height: Height;
      /** Paths in conflict, where that is the outcome. */
      readonly conflicts: readonly string[];
      /** Kind and address of where a quorum saw the bytes; "" where they are the publisher's word. */
      readonly source: string;
    }
  | {
      readonly kind: "policy";
      readonly id: Digest;
      readonly outcome: OutcomeCode;
      readonly height: Height;
    }
  | {
      readonly kind: "state";
      readonly height: Height;
      readonly state: Digest;
      readonly tsMs: number;
    }
  /** A host was convicted: by what, and by which proof. */
  | {
      readonly kind: "evidence";
      readonly id: Digest;
      readonly culprit: PublicKey;
      /** Number of the kind of misdeed. */
      readonly of: number;
    }
  /** An administrator let a convicted host take part again. */
  | { readonly kind: "pardon"; readonly id: Digest; readonly culprit: PublicKey }
  /** From here on the log is that of a group that split off. */
  | { readonly kind: "split"; readonly group: Digest; readonly members: readonly PublicKey[] };

/** What became of an update or a policy change. */
export const outcomeCodes = [
  "published",
  "conflict",
  "not-permitted",
  "malformed",
  "expired",
  "busy",
  "stale-policy",
  "over-quota",
] as const;
/** How an update ended. */
export type OutcomeCode = (typeof outcomeCodes)[number];

/** The bytes of a leaf, as they are hashed into the log. */
export function encodeLeaf(leaf: LogLeaf): Uint8Array {
  switch (leaf.kind) {
    case "commit":
      return encode([0, leaf.index, fromHex(leaf.digest), leaf.tsMs]);
    case "update":
      return encode([
        1,
        fromHex(leaf.id),
        fromHex(leaf.publisher),
        leaf.tree,
        fromHex(leaf.changes),
        outcomeCodes.indexOf(leaf.outcome),
        leaf.height,
        leaf.conflicts,
        leaf.source,
      ]);
    case "state":
      return encode([2, leaf.height, fromHex(leaf.state), leaf.tsMs]);
    case "policy":
      return encode([3, fromHex(leaf.id), outcomeCodes.indexOf(leaf.outcome), leaf.height]);
    case "evidence":
      return encode([4, fromHex(leaf.id), fromHex(leaf.culprit), leaf.of]);
    case "pardon":
      return encode([5, fromHex(leaf.id), fromHex(leaf.culprit)]);
    case "split":
      return encode([6, fromHex(leaf.group), leaf.members.map(fromHex)]);
  }
}

const outcomeShape: Shape<OutcomeCode> = (value, what) => {
  const code = outcomeCodes[natural(outcomeCodes.length - 1)(value, what)];
  require(code !== undefined, `${what} is an outcome`);
  return code;
};
const heightShape: Shape<Height> = (value, what) => Height(natural()(value, what));
const tsShape = natural(2 ** 48 - 1);

const leafShapes: readonly Shape<LogLeaf>[] = [
  (value, what) => {
    const [, index, hash, tsMs] = fields(4)(value, what);
    return {
      kind: "commit",
      index: natural()(index, `${what}.index`),
      digest: digest(hash, `${what}.digest`),
      tsMs: tsShape(tsMs, `${what}.tsMs`),
    };
  },
  (value, what) => {
    const [, id, publisher, tree, changes, outcome, height, ...more] = fields(9)(value, what);
    const [conflicts, source] = more;
    return {
      kind: "update",
      id: digest(id, `${what}.id`),
      publisher: publicKey(publisher, `${what}.publisher`),
      tree: text(64)(tree, `${what}.tree`),
      changes: digest(changes, `${what}.changes`),
      outcome: outcomeShape(outcome, `${what}.outcome`),
      height: heightShape(height, `${what}.height`),
      conflicts: list(text(4096), 100)(conflicts, `${what}.conflicts`),
      source: text(limits.sourceKindBytesMax + 1 + limits.sourceUrlBytesMax)(
        source,
        `${what}.source`,
      ),
    };
  },
  (value, what) => {
    const [, height, state, tsMs] = fields(4)(value, what);
    return {
      kind: "state",
      height: heightShape(height, `${what}.height`),
      state: digest(state, `${what}.state`),
      tsMs: tsShape(tsMs, `${what}.tsMs`),
    };
  },
  (value, what) => {
    const [, id, outcome, height] = fields(4)(value, what);
    return {
      kind: "policy",
      id: digest(id, `${what}.id`),
      outcome: outcomeShape(outcome, `${what}.outcome`),
      height: heightShape(height, `${what}.height`),
    };
  },
  (value, what) => {
    const [, id, culprit, of] = fields(4)(value, what);
    return {
      kind: "evidence",
      id: digest(id, `${what}.id`),
      culprit: publicKey(culprit, `${what}.culprit`),
      of: natural(255)(of, `${what}.of`),
    };
  },
  (value, what) => {
    const [, id, culprit] = fields(3)(value, what);
    return {
      kind: "pardon",
      id: digest(id, `${what}.id`),
      culprit: publicKey(culprit, `${what}.culprit`),
    };
  },
  (value, what) => {
    const [, group, members] = fields(3)(value, what);
    return {
      kind: "split",
      group: digest(group, `${what}.group`),
      members: list(publicKey, limits.committeeWritersMax)(members, `${what}.members`),
    };
  },
];

const leafShape: Shape<LogLeaf> = (value, what) => {
  require(Array.isArray(value) && typeof value[0] === "number", `${what} has a kind`);
  const shape = leafShapes[value[0]];
  require(shape !== undefined, `${what} is of a known kind`);
  return shape(value, what);
};

/** Reads a leaf. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeLeaf(bytes: Uint8Array): ReturnType<typeof read<LogLeaf>> {
  return read(bytes, leafShape, "leaf");
}

/** What a state leaf stands for: the trees and the policy at one height. */
export interface StateBody {
  readonly height: Height;
  /** Directory of all trees; `undefined` while there is none. */
  readonly trees: Digest | undefined;
  readonly policy: Digest;
}

/** The bytes that a state leaf is the hash of. */
export function encodeStateBody(body: StateBody): Uint8Array {
  return encode([
    body.height,
    body.trees === undefined ? null : fromHex(body.trees),
    fromHex(body.policy),
  ]);
}

/** Digest of {@link encodeStateBody}. */
export function stateDigest(body: StateBody): Digest {
  return taggedDigest("state", encodeStateBody(body));
}

export function stateBodyOf(height: Height, trees: Digest | undefined, policy: Policy): StateBody {
  return { height, trees, policy: policyDigest(policy) };
}

const stateBodyShape: Shape<StateBody> = (value, what) => {
  const [height, trees, policy] = fields(3)(value, what);
  return {
    height: heightShape(height, `${what}.height`),
    trees: optional(digest)(trees, `${what}.trees`) ?? undefined,
    policy: digest(policy, `${what}.policy`),
  };
};

/** Reads what a state leaf is the hash of. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeStateBody(bytes: Uint8Array): ReturnType<typeof read<StateBody>> {
  return read(bytes, stateBodyShape, "state");
}
