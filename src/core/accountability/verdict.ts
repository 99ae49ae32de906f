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
import type { Network } from "../committee/index.ts";
import { areSignedTwins, sha256, signingBytes, verifyCosignature } from "../crypto/index.ts";
import { provenEntry } from "../proof/index.ts";
import type { Court } from "./court.ts";
import {
  type CosignedRoot,
  decodeEvidence,
  type Evidence,
  kindOf,
  misbehavioursOf,
} from "./evidence.ts";
import { isPossessionSigned, possessionAnswer } from "./possession.ts";
import { filePathOf, isNonce, isSigned } from "./receipt.ts";
import { splitIdentity } from "./split-point.ts";

/** What evidence proves: checked, the same for everybody, for ever. */
export interface Verdict {
  /** Of the evidence. */
  readonly id: Digest;
  /** Of the network in which it counts. */
  readonly group: Digest;
  readonly kind: string;
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
  const decoded = decodeEvidence(wire, misbehavioursOf(court.network));
  if (!decoded.ok) return decoded;
  const { id, group, evidence } = decoded.value;
  if (group !== court.network.group)
    return fail("WRONG_GROUP", "the evidence is of another network");
  const found = findingOf(evidence, court);
  if (!found.ok) return found;
  // Places are of a group: after a split the same numbers name others.
  const kind = kindOf(evidence);
  const offence = `${kind} ${group} ${found.value.offence}`;
  return ok({ id, group, kind, wire, ...found.value, offence });
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
    case "consensus":
      return cheatedConsensus(evidence, court);
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

type Of<K extends Evidence["kind"]> = Extract<Evidence, { kind: K }>;

function cheatedConsensus({ proof }: Of<"consensus">, court: Court): Result<Found> {
  const { network, verifier } = court;
  const found = network.consensus.judge(proof, verifier);
  if (!found.ok) return found;
  const { author, offence, deed } = found.value;
  const writer = network.writers[author];
  if (writer === undefined) return notProven("no such writer");
  return ok({ culprit: writer.nodeKey, author, offence, detail: `${writer.name} ${deed}` });
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
  const proves = areSignedTwins(evidence, ({ body, signature }) => {
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
