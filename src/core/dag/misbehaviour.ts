import { Author, fail, limits, ok, type Result } from "../base/index.ts";
import { bytes, fields, natural, optional, type Shape } from "../codec/index.ts";
import type { Finding, MisbehaviourKind } from "../consensus/index.ts";
import {
  areSignedTwins,
  type SignedTwins,
  sha256,
  signedBodyShape,
  twinValues,
  type Verifier,
} from "../crypto/index.ts";
import {
  blockParts,
  blockSigningBytes,
  type DagConfig,
  headerBodyDigest,
  type InvalidBlock,
  type SignedHeader,
  type SlotName,
  signedHeaderShape,
  signedHeaderValue,
  slotIdentity,
  verifyBlock,
  wireOf,
} from "./block.ts";

/** Two blocks of one writer for one round. `body`: hash of the header's bytes. */
export interface Equivocation extends SignedTwins {
  readonly kind: "equivocation";
  readonly author: Author;
  readonly epoch: number;
  readonly round: number;
}

/** A well signed block that no correct host could have made. `payload` only where it is what is wrong. */
export interface SignedInvalidBlock {
  readonly kind: "invalid-block";
  readonly signed: SignedHeader;
  readonly payload: Uint8Array | undefined;
}

/** What proves that a writer cheated in the DAG. */
export type DagMisbehaviour = Equivocation | SignedInvalidBlock;

/** Two headers of one slot, as proof against their author. */
export function equivocationOf(twins: {
  readonly author: Author;
  readonly epoch: number;
  readonly round: number;
  readonly first: SignedHeader;
  readonly second: SignedHeader;
}): Equivocation {
  const halfOf = ({ bytes: header, signature }: SignedHeader) => ({
    body: headerBodyDigest(header),
    signature,
  });
  const { author, epoch, round } = twins;
  return {
    kind: "equivocation",
    author,
    epoch,
    round,
    first: halfOf(twins.first),
    second: halfOf(twins.second),
  };
}

/** A block that its author should not have signed; `undefined` where nothing is proven about the author. */
export function invalidBlockOf(
  wire: Uint8Array,
  fault: InvalidBlock,
): SignedInvalidBlock | undefined {
  const parts = fault.by === "author" ? blockParts(wire) : undefined;
  if (parts === undefined) return undefined;
  const payload = fault.code === "INVALID_PAYLOAD" ? parts.payload : undefined;
  return { kind: "invalid-block", signed: parts.signed, payload };
}

const authorShape: Shape<Author> = (value, what) =>
  Author(natural(limits.committeeWritersMax - 1)(value, what));

const equivocationKind: MisbehaviourKind<Equivocation> = {
  kind: "equivocation",
  code: 0,
  value: (proof) => [proof.author, proof.epoch, proof.round, ...twinValues(proof)],
  shape: (value, what) => {
    const [by, epoch, round, first, second] = fields(5)(value, what);
    return {
      kind: "equivocation",
      author: authorShape(by, `${what}.author`),
      epoch: natural(2 ** 32 - 1)(epoch, `${what}.epoch`),
      round: natural(2 ** 32 - 1)(round, `${what}.round`),
      first: signedBodyShape(first, `${what}.first`),
      second: signedBodyShape(second, `${what}.second`),
    };
  },
};

const invalidBlockKind: MisbehaviourKind<SignedInvalidBlock> = {
  kind: "invalid-block",
  code: 1,
  value: ({ signed, payload }) => [signedHeaderValue(signed), payload ?? null],
  shape: (value, what) => {
    const [signed, payload] = fields(2)(value, what);
    const payloadShape = optional(bytes(limits.payloadBytesMax));
    return {
      kind: "invalid-block",
      signed: signedHeaderShape(signed, `${what}.signed`),
      payload: payloadShape(payload, `${what}.payload`) ?? undefined,
    };
  },
};

export const dagMisbehaviours: readonly MisbehaviourKind[] = [equivocationKind, invalidBlockKind];

interface Judge {
  readonly config: DagConfig;
  readonly verifier: Verifier;
}

/** Faults: NOT_PROVEN. */
export function judgeDag(proof: DagMisbehaviour, by: Judge): Result<Finding> {
  return proof.kind === "equivocation" ? judgeTwins(proof, by) : judgeInvalid(proof, by);
}

function judgeTwins(proof: Equivocation, { config, verifier }: Judge): Result<Finding> {
  const { author, epoch, round } = proof;
  const key = config.keys[author];
  if (key === undefined || epoch !== config.epoch || round < 1)
    return notProven("no such writer, epoch or round");
  const slot = { group: config.group, epoch, author, round } as SlotName;
  const proves = areSignedTwins(proof, ({ body, signature }) =>
    verifier.verify(key, blockSigningBytes(slotIdentity(slot, body)), signature),
  );
  if (!proves) return notProven("not two different blocks that the writer signed");
  const deed = `signed two blocks of round ${round}`;
  return ok({ author, offence: `${author} ${epoch} ${round}`, deed });
}

function judgeInvalid({ signed, payload }: SignedInvalidBlock, by: Judge): Result<Finding> {
  const { config, verifier } = by;
  const bare = verifyBlock(wireOf(signed, new Uint8Array(0)), config, verifier);
  // One misdeed has one proof: a payload stands in it only where the header is as it should be.
  if (payload !== undefined && !bare.ok && bare.error.by === "author")
    return notProven("the header is what is wrong, and the payload does not belong to the proof");
  const verified =
    payload === undefined ? bare : verifyBlock(wireOf(signed, payload), config, verifier);
  if (verified.ok) return notProven("the block is valid");
  const { error } = verified;
  if (error.by !== "author") return notProven(error.detail);
  return ok({
    author: error.author,
    // A header that breaks a rule has a round only in name: what was signed is what is counted.
    offence: `${error.author} ${sha256(signed.bytes)}`,
    deed: `signed an invalid block: ${error.detail}`,
  });
}

function notProven(detail: string): Result<never> {
  return fail("NOT_PROVEN", detail);
}
