import {
  type Author,
  type Digest,
  equalBytes,
  fail,
  limits,
  ok,
  type PublicKey,
  type Result,
} from "../base/index.ts";
import { blockSigningBytes, slotIdentity, verifyBlock, wireOf } from "../consensus/index.ts";
import { sha256, signingBytes, verifyCosignature } from "../crypto/index.ts";
import type { Network } from "../membership/index.ts";
import { provenEntry } from "../proof/index.ts";
import type { Court } from "./court.ts";
import {
  type CosignedRoot,
  decodeEvidence,
  type Evidence,
  type EvidenceKind,
  type SignedBody,
} from "./evidence.ts";
import { isPossessionSigned, possessionAnswer } from "./possession.ts";
import { filePathOf, isNonce, isSigned } from "./receipt.ts";
import { splitIdentity } from "./split-point.ts";

/** What evidence proves: checked, the same for everybody, for ever. */
export interface Verdict {
  /** Of the evidence. */
  readonly id: Digest;
  readonly kind: EvidenceKind;
  /** The host that cheated, by its node key. */
  readonly culprit: PublicKey;
  /** Its place in the committee, if it is a writer. */
  readonly author: Author | undefined;
  /** What is counted: equal for every proof of the same misdeed, whoever reports it. */
  readonly offence: string;
  /** A sentence for people. */
  readonly detail: string;
  readonly wire: Uint8Array;
}

type Found = Pick<Verdict, "culprit" | "author" | "offence" | "detail">;

/**
 * Judges a proof of any origin. Pure: the same answer on every host, offline. Faults: MALFORMED_*, NOT_CANONICAL,
 * WRONG_GROUP, TOO_LONG, and NOT_PROVEN where the signatures are good or bad but nobody is convicted.
 */
export function judge(wire: Uint8Array, court: Court): Result<Verdict> {
  const decoded = decodeEvidence(wire);
  if (!decoded.ok) return decoded;
  const { id, group, evidence } = decoded.value;
  if (group !== court.network.group)
    return fail("WRONG_GROUP", "the evidence is of another network");
  const found = findingOf(evidence, court);
  if (!found.ok) return found;
  // Places are of a group: after a split the same numbers name others.
  const offence = `${evidence.kind} ${group} ${found.value.offence}`;
  return ok({ id, kind: evidence.kind, wire, ...found.value, offence });
}

/** True if the order takes a proof of this size. */
export function fitsOrder(wire: Uint8Array): boolean {
  return wire.length <= limits.evidenceBytesMax;
}

function notProven(detail: string): Result<never> {
  return fail("NOT_PROVEN", detail);
}

function findingOf(evidence: Evidence, court: Court): Result<Found> {
  switch (evidence.kind) {
    case "equivocation":
      return equivocation(evidence, court);
    case "invalid-block":
      return invalidBlock(evidence, court);
    case "contradicting-checkpoint":
      return twoCheckpoints(evidence, court);
    case "wrong-answer":
      return wrongAnswer(evidence, court);
    case "false-possession":
      return falsePossession(evidence, court);
    case "double-split":
      return doubleSplit(evidence, court);
  }
}

type Of<K extends EvidenceKind> = Extract<Evidence, { kind: K }>;

/** Both halves differ, and both are signed by the key. */
function areTwo(
  { first, second }: { readonly first: SignedBody; readonly second: SignedBody },
  isSignedBody: (half: SignedBody) => boolean,
): boolean {
  return first.body !== second.body && isSignedBody(first) && isSignedBody(second);
}

function equivocation(evidence: Of<"equivocation">, { network, dag, verifier }: Court) {
  const { author, epoch, round } = evidence;
  const writer = network.writers[author];
  if (writer === undefined || epoch !== network.epoch || round < 1)
    return notProven("no such writer, epoch or round");
  const slot = { group: dag.group, epoch, author, round } as Parameters<typeof slotIdentity>[0];
  const proves = areTwo(evidence, ({ body, signature }) =>
    verifier.verify(writer.blockKey, blockSigningBytes(slotIdentity(slot, body)), signature),
  );
  if (!proves) return notProven("not two different blocks that the writer signed");
  return ok({
    culprit: writer.nodeKey,
    author,
    offence: `${author} ${epoch} ${round}`,
    detail: `${writer.name} signed two blocks of round ${round}`,
  });
}

function invalidBlock({ signed, payload }: Of<"invalid-block">, court: Court): Result<Found> {
  const bare = verifyBlock(wireOf(signed, new Uint8Array(0)), court.dag, court.verifier);
  // One misdeed has one proof: a payload stands in it only where the header is as it should be.
  if (payload !== undefined && !bare.ok && bare.error.by === "author")
    return notProven("the header is what is wrong, and the payload does not belong to the proof");
  const verified =
    payload === undefined ? bare : verifyBlock(wireOf(signed, payload), court.dag, court.verifier);
  if (verified.ok) return notProven("the block is valid");
  const { error } = verified;
  if (error.by !== "author") return notProven(error.detail);
  const writer = court.network.writers[error.author];
  if (writer === undefined) return notProven("no such writer");
  return ok({
    culprit: writer.nodeKey,
    author: error.author,
    // A header that breaks a rule has a round only in name: what was signed is what is counted.
    offence: `${error.author} ${sha256(signed.bytes)}`,
    detail: `${writer.name} signed an invalid block: ${error.detail}`,
  });
}

function twoCheckpoints(
  evidence: Of<"contradicting-checkpoint">,
  { network, verifier }: Court,
): Result<Found> {
  const { author, size, first, second } = evidence;
  const writer = network.writers[author];
  const cosigner = network.cosigners[author];
  if (writer === undefined || cosigner === undefined) return notProven("no such writer");
  const isCosigned = ({ root, timeS, signature }: CosignedRoot): boolean =>
    verifyCosignature(
      { origin: network.origin, size, root },
      { name: cosigner.name, timeS, signature },
      { cosigner, verifier },
    );
  if (equalBytes(first.root, second.root) || !isCosigned(first) || !isCosigned(second))
    return notProven("not two different roots that the writer cosigned");
  return ok({
    culprit: writer.nodeKey,
    author,
    offence: `${author} ${size}`,
    detail: `${writer.name} cosigned two roots of a log of ${size} leaves`,
  });
}

/** The host with this key: a writer of the genesis, or some reader. */
function hostOf(
  network: Network,
  key: PublicKey,
): { readonly name: string; readonly author: Author | undefined } {
  const writer = network.writers.find(({ nodeKey }) => nodeKey === key);
  return { name: writer?.name ?? `host ${key.slice(0, 16)}`, author: writer?.index };
}

function wrongAnswer({ receipt, proof }: Of<"wrong-answer">, court: Court): Result<Found> {
  const { claim } = receipt;
  const path = filePathOf(claim.path);
  if (path === undefined || !isNonce(claim.nonce))
    return notProven("no receipt is given for such a request");
  if (!isSigned(receipt, court.verifier)) return notProven("the answer is not signed by its host");
  const entry = provenEntry(proof, { height: claim.height, path }, court);
  if (!entry.ok) return entry;
  const said = saidOf(claim);
  const isTrue =
    entry.value?.kind === "file"
      ? said === entry.value.digest
      : // Links and directories are answered in other ways, which no receipt covers.
        entry.value !== undefined || said === "nothing";
  if (said === undefined || isTrue) return notProven("the answer is what the writers certified");
  const { name, author } = hostOf(court.network, claim.key);
  const truth = entry.value?.kind === "file" ? `content ${entry.value.digest}` : "nothing";
  return ok({
    culprit: claim.key,
    author,
    offence: `${claim.key} ${claim.height} ${path.join("/")}`,
    detail: `${name} signed that ${claim.path} had ${said === "nothing" ? said : `content ${said}`} at height ${claim.height}, where it has ${truth}`,
  });
}

function saidOf(claim: Of<"wrong-answer">["receipt"]["claim"]): Digest | "nothing" | undefined {
  if (claim.status === 404) return claim.content === undefined ? "nothing" : undefined;
  return claim.status === 200 || claim.status === 206 ? claim.content : undefined;
}

function falsePossession(
  { claim, content }: Of<"false-possession">,
  { network, verifier }: Court,
): Result<Found> {
  if (!isPossessionSigned(claim, verifier))
    return notProven("the answer is not signed by its host");
  if (sha256(content) !== claim.content) return notProven("the content is not what was asked for");
  if (possessionAnswer(claim.nonce, content) === claim.answer)
    return notProven("the answer is right");
  const { name, author } = hostOf(network, claim.key);
  return ok({
    culprit: claim.key,
    author,
    offence: `${claim.key} ${claim.content}`,
    detail: `${name} signed a wrong answer about content ${claim.content} that it claims to have`,
  });
}

function doubleSplit(evidence: Of<"double-split">, { network, verifier }: Court): Result<Found> {
  const { author, size } = evidence;
  const writer = network.writers[author];
  if (writer === undefined) return notProven("no such writer");
  const proves = areTwo(evidence, ({ body, signature }) => {
    const identity = splitIdentity({ group: network.group, size }, body);
    return verifier.verify(writer.nodeKey, signingBytes("split", identity), signature);
  });
  if (!proves) return notProven("not two different groups that the host joined");
  return ok({
    culprit: writer.nodeKey,
    author,
    offence: `${author} ${size}`,
    detail: `${writer.name} joined two groups at the checkpoint of size ${size}`,
  });
}
