import {
  Author,
  assert,
  type Digest,
  equalBytes,
  fail,
  fromHex,
  limits,
  ok,
  type Result,
  toHex,
} from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  exactBytes,
  fields,
  natural,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import type { Network } from "../committee/index.ts";
import type { Misbehaviour, MisbehaviourKind } from "../consensus/index.ts";
import { type SignedBody, signedBodyShape, taggedDigest, twinValues } from "../crypto/index.ts";
import { type StateProof, stateProofShape, stateProofValue } from "../proof/index.ts";
import { type PossessionClaim, possessionShape, possessionValue } from "./possession.ts";
import { receiptShape, receiptValue, type ServedReceipt } from "./receipt.ts";

/** A cosignature as evidence holds it. */
export interface CosignedRoot {
  readonly root: Uint8Array;
  readonly timeS: number;
  readonly signature: Uint8Array;
}

/** Misbehaviour that its maker signed himself: whoever has the genesis can check it, and nobody else can make it. */
export type Evidence =
  /** A writer cheated the algorithm that orders. */
  | { readonly kind: "consensus"; readonly proof: Misbehaviour }
  /** Two roots for one size of the log. */
  | {
      readonly kind: "contradicting-checkpoint";
      readonly author: Author;
      readonly size: number;
      readonly first: CosignedRoot;
      readonly second: CosignedRoot;
    }
  /** An answer that its host signed, and what the writers certified for that height. */
  | {
      readonly kind: "wrong-answer";
      readonly receipt: ServedReceipt;
      readonly proof: StateProof;
    }
  /** A wrong answer to a challenge, and the content that was asked for. */
  | {
      readonly kind: "false-possession";
      readonly claim: PossessionClaim;
      readonly content: Uint8Array;
    }
  /** One host in two groups after one split. `body`: hash of what it signed. */
  | {
      readonly kind: "double-split";
      readonly author: Author;
      /** Of the checkpoint at which both groups begin. */
      readonly size: number;
      readonly first: SignedBody;
      readonly second: SignedBody;
    };

type HostKind = Exclude<Evidence["kind"], "consensus">;

/** Numbers of the kinds in records and leaves, beside those of {@link MisbehaviourKind}; none ever changes. */
const codes: Readonly<Record<HostKind, number>> = {
  "contradicting-checkpoint": 2,
  "wrong-answer": 3,
  "false-possession": 4,
  "double-split": 5,
};
const hostKinds = Object.keys(codes) as readonly HostKind[];

/** Kinds of misbehaviour of the algorithm that a group runs. */
export type ConsensusKinds = readonly MisbehaviourKind[];

/** Names of all kinds, by their numbers. */
export function evidenceKinds(kinds: ConsensusKinds): ReadonlyMap<number, string> {
  const names = new Map<number, string>(kinds.map(({ code, kind }) => [code, kind]));
  for (const kind of hostKinds) names.set(codes[kind], kind);
  return names;
}

/** The name of a kind by its number; "unknown" where a later version made it. */
export function kindName(network: Network, code: number): string {
  return evidenceKinds(misbehavioursOf(network)).get(code) ?? "unknown";
}

/** What people call a proof's kind. */
export function kindOf(evidence: Evidence): string {
  return evidence.kind === "consensus" ? evidence.proof.kind : evidence.kind;
}

/** Identity of a proof, for files, URLs and leaves. */
export function evidenceId(wire: Uint8Array): Digest {
  return taggedDigest("evidence", wire);
}

const cosignedValue = ({ root, timeS, signature }: CosignedRoot): Value => [root, timeS, signature];

function bodyValue(evidence: Exclude<Evidence, { kind: "consensus" }>): Value {
  switch (evidence.kind) {
    case "double-split":
      return [evidence.author, evidence.size, ...twinValues(evidence)];
    case "contradicting-checkpoint": {
      const { author, size, first, second } = evidence;
      const isSorted = toHex(first.root) < toHex(second.root);
      const [a, b] = isSorted ? [first, second] : [second, first];
      return [author, size, cosignedValue(a), cosignedValue(b)];
    }
    case "wrong-answer":
      return [receiptValue(evidence.receipt), stateProofValue(evidence.proof)];
    case "false-possession":
      return [possessionValue(evidence.claim), evidence.content];
  }
}

/** A proof as it travels, is ordered and is kept: `[1, group, kind, body]`. */
export function encodeEvidence(network: Network, evidence: Evidence): Uint8Array {
  return encodeIn(network.group, evidence, misbehavioursOf(network));
}

/** Kinds of misbehaviour of the algorithm that a network runs. */
export function misbehavioursOf({ consensus }: Network): ConsensusKinds {
  return consensus.configured.algorithm.misbehaviours;
}

function encodeIn(group: Digest, evidence: Evidence, kinds: ConsensusKinds): Uint8Array {
  const [code, body] =
    evidence.kind === "consensus"
      ? proofValue(evidence.proof, kinds)
      : [codes[evidence.kind], bodyValue(evidence)];
  return encode([1, fromHex(group), code, body]);
}

function proofValue(proof: Misbehaviour, kinds: ConsensusKinds): readonly [number, Value] {
  const found = kinds.find(({ kind }) => kind === proof.kind);
  assert(found !== undefined, "a proof is of a kind of its algorithm");
  return [found.code, found.value(proof)];
}

const author: Shape<Author> = (value, what) =>
  Author(natural(limits.committeeWritersMax - 1)(value, what));

const cosignedShape: Shape<CosignedRoot> = (value, what) => {
  const [root, timeS, signature] = fields(3)(value, what);
  return {
    root: exactBytes(32)(root, `${what}.root`),
    timeS: natural(2 ** 48 - 1)(timeS, `${what}.timeS`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

const shapes: Readonly<Record<HostKind, (group: Digest) => Shape<Evidence>>> = {
  "double-split": () => (value, what) => {
    const [by, size, first, second] = fields(4)(value, what);
    return {
      kind: "double-split",
      author: author(by, `${what}.author`),
      size: natural()(size, `${what}.size`),
      first: signedBodyShape(first, `${what}.first`),
      second: signedBodyShape(second, `${what}.second`),
    };
  },
  "contradicting-checkpoint": () => (value, what) => {
    const [by, size, first, second] = fields(4)(value, what);
    return {
      kind: "contradicting-checkpoint",
      author: author(by, `${what}.author`),
      size: natural()(size, `${what}.size`),
      first: cosignedShape(first, `${what}.first`),
      second: cosignedShape(second, `${what}.second`),
    };
  },
  "wrong-answer": (group) => (value, what) => {
    const [receipt, proof] = fields(2)(value, what);
    return {
      kind: "wrong-answer",
      receipt: receiptShape(group)(receipt, `${what}.receipt`),
      proof: stateProofShape(proof, `${what}.proof`),
    };
  },
  "false-possession": (group) => (value, what) => {
    const [claim, content] = fields(2)(value, what);
    return {
      kind: "false-possession",
      claim: possessionShape(group)(claim, `${what}.claim`),
      content: bytes(limits.payloadBytesMax)(content, `${what}.content`),
    };
  },
};

export interface DecodedEvidence {
  readonly id: Digest;
  readonly group: Digest;
  readonly evidence: Evidence;
  readonly wire: Uint8Array;
}

/**
 * Reads a proof of any origin; nothing is verified yet. `kinds`: of the algorithms that its group may run. Faults:
 * MALFORMED_*, NOT_CANONICAL.
 */
export function decodeEvidence(wire: Uint8Array, kinds: ConsensusKinds): Result<DecodedEvidence> {
  const decoded = read(
    wire,
    (value, what) => {
      const [version, groupValue, code, body] = fields(4)(value, what);
      require(version === 1, `${what} is of version 1`);
      const group = digest(groupValue, `${what}.group`);
      return { group, evidence: evidenceShape(code, { group, kinds })(body, what) };
    },
    "evidence",
  );
  if (!decoded.ok) return decoded;
  const { group, evidence } = decoded.value;
  if (!equalBytes(encodeIn(group, evidence, kinds), wire))
    return fail("NOT_CANONICAL", "the two halves stand in the wrong order");
  return ok({ id: evidenceId(wire), group, evidence, wire });
}

function evidenceShape(
  code: Value | undefined,
  { group, kinds }: { readonly group: Digest; readonly kinds: ConsensusKinds },
): Shape<Evidence> {
  const ofHost = hostKinds.find((kind) => codes[kind] === code);
  if (ofHost !== undefined) return (value) => shapes[ofHost](group)(value, ofHost);
  const ofConsensus = kinds.find((kind) => kind.code === code);
  require(ofConsensus !== undefined, "evidence is of a known kind");
  return (value) => ({
    kind: "consensus",
    proof: ofConsensus.shape(value, ofConsensus.kind),
  });
}
