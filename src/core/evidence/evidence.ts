import {
  Author,
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
  optional,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import { type SignedHeader, signedHeaderShape, signedHeaderValue } from "../consensus/index.ts";
import { taggedDigest } from "../crypto/index.ts";
import { type StateProof, stateProofShape, stateProofValue } from "../proof/index.ts";
import { type PossessionClaim, possessionShape, possessionValue } from "./possession.ts";
import { receiptShape, receiptValue, type ServedReceipt } from "./receipt.ts";

/** One of two things that a host signed for a place where only one may stand. */
export interface SignedBody {
  readonly body: Digest;
  readonly signature: Uint8Array;
}

/** A cosignature as evidence holds it. */
export interface CosignedRoot {
  readonly root: Uint8Array;
  readonly timeS: number;
  readonly signature: Uint8Array;
}

/** Misbehaviour that its maker signed himself: whoever has the genesis can check it, and nobody else can make it. */
export type Evidence =
  /** Two blocks of one writer for one round. `body`: hash of the header's bytes. */
  | {
      readonly kind: "equivocation";
      readonly author: Author;
      readonly epoch: number;
      readonly round: number;
      readonly first: SignedBody;
      readonly second: SignedBody;
    }
  /** A well signed block that no correct host could have made. `payload` only where it is what is wrong. */
  | {
      readonly kind: "invalid-block";
      readonly signed: SignedHeader;
      readonly payload: Uint8Array | undefined;
    }
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

export type EvidenceKind = Evidence["kind"];

/** Names by their numbers in records and leaves; never reordered. */
export const evidenceKinds: readonly EvidenceKind[] = [
  "equivocation",
  "invalid-block",
  "contradicting-checkpoint",
  "wrong-answer",
  "false-possession",
  "double-split",
];

/** Identity of a proof, for files, URLs and leaves. */
export function evidenceId(wire: Uint8Array): Digest {
  return taggedDigest("evidence", wire);
}

const signedBodyValue = ({ body, signature }: SignedBody): Value => [fromHex(body), signature];
const cosignedValue = ({ root, timeS, signature }: CosignedRoot): Value => [root, timeS, signature];

function bodyValue(evidence: Evidence): Value {
  switch (evidence.kind) {
    case "equivocation": {
      const { author, epoch, round } = evidence;
      return [author, epoch, round, ...inOrder(evidence).map(signedBodyValue)];
    }
    case "double-split":
      return [evidence.author, evidence.size, ...inOrder(evidence).map(signedBodyValue)];
    case "invalid-block":
      return [signedHeaderValue(evidence.signed), evidence.payload ?? null];
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

/** The same two things are the same proof, whichever came first. */
function inOrder(pair: {
  readonly first: SignedBody;
  readonly second: SignedBody;
}): readonly SignedBody[] {
  const { first, second } = pair;
  return first.body < second.body ? [first, second] : [second, first];
}

/** A proof as it travels, is ordered and is kept: `[1, group, kind, body]`. */
export function encodeEvidence(group: Digest, evidence: Evidence): Uint8Array {
  return encode([1, fromHex(group), evidenceKinds.indexOf(evidence.kind), bodyValue(evidence)]);
}

const author: Shape<Author> = (value, what) =>
  Author(natural(limits.committeeWritersMax - 1)(value, what));

const signedBodyShape: Shape<SignedBody> = (value, what) => {
  const [body, signature] = fields(2)(value, what);
  return {
    body: digest(body, `${what}.body`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

const cosignedShape: Shape<CosignedRoot> = (value, what) => {
  const [root, timeS, signature] = fields(3)(value, what);
  return {
    root: exactBytes(32)(root, `${what}.root`),
    timeS: natural(2 ** 48 - 1)(timeS, `${what}.timeS`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

const shapes: Readonly<Record<EvidenceKind, (group: Digest) => Shape<Evidence>>> = {
  equivocation: () => (value, what) => {
    const [by, epoch, round, first, second] = fields(5)(value, what);
    return {
      kind: "equivocation",
      author: author(by, `${what}.author`),
      epoch: natural(2 ** 32 - 1)(epoch, `${what}.epoch`),
      round: natural(2 ** 32 - 1)(round, `${what}.round`),
      first: signedBodyShape(first, `${what}.first`),
      second: signedBodyShape(second, `${what}.second`),
    };
  },
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
  "invalid-block": () => (value, what) => {
    const [signed, payload] = fields(2)(value, what);
    const payloadShape = optional(bytes(limits.payloadBytesMax));
    return {
      kind: "invalid-block",
      signed: signedHeaderShape(signed, `${what}.signed`),
      payload: payloadShape(payload, `${what}.payload`) ?? undefined,
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

/** Reads a proof of any origin; nothing is verified yet. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeEvidence(wire: Uint8Array): Result<DecodedEvidence> {
  const decoded = read(
    wire,
    (value, what) => {
      const [version, groupValue, code, body] = fields(4)(value, what);
      require(version === 1, `${what} is of version 1`);
      const group = digest(groupValue, `${what}.group`);
      const kind = evidenceKinds[natural(evidenceKinds.length - 1)(code, `${what}.kind`)];
      require(kind !== undefined, `${what} is of a known kind`);
      return { group, evidence: shapes[kind](group)(body, kind) };
    },
    "evidence",
  );
  if (!decoded.ok) return decoded;
  const { group, evidence } = decoded.value;
  if (!equalBytes(encodeEvidence(group, evidence), wire))
    return fail("NOT_CANONICAL", "the two halves stand in the wrong order");
  return ok({ id: evidenceId(wire), group, evidence, wire });
}
