import { judge, type SplitPoint, splitIdentity } from "../accountability/index.ts";
import {
  Author,
  type Digest,
  equalBytes,
  fail,
  fromHex,
  limits,
  ok,
  type Result,
} from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  read,
  require,
  type Shape,
  text,
} from "../codec/index.ts";
import type { Network } from "../committee/index.ts";
import {
  type Signer,
  sha256,
  signingBytes,
  taggedDigest,
  type Verifier,
  verifyNote,
} from "../crypto/index.ts";
import { divide, readStatement, type Statement } from "../opinion/index.ts";

/** The last thing that both new groups have in common: a checkpoint that a quorum of the old one cosigned. */
export interface SplitParent {
  readonly group: Digest;
  readonly epoch: number;
  /** Leaves and root of the log. */
  readonly size: number;
  readonly root: Uint8Array;
  readonly note: string;
  readonly height: number;
  /** The commit at which it was due: both orders go on after it. */
  readonly commit: { readonly index: number; readonly digest: Digest };
  /** Order time there, milliseconds. */
  readonly tsMs: number;
}

/** Who would be with whom after a split, from where on, and why: what its members agree to. */
export interface SplitPlan {
  readonly id: Digest;
  readonly parent: SplitParent;
  readonly sides: readonly [readonly Author[], readonly Author[]];
  /** Signed statements that make the hostile graph. */
  readonly statements: readonly Uint8Array[];
  /** Proofs against those that are in no group. */
  readonly evidence: readonly Uint8Array[];
  readonly wire: Uint8Array;
}

/** The bytes of a plan. */
export function encodePlan(plan: Omit<SplitPlan, "id" | "wire">): SplitPlan {
  const { parent, sides, statements, evidence } = plan;
  const wire = encode([
    1,
    [
      fromHex(parent.group),
      parent.epoch,
      parent.size,
      parent.root,
      parent.note,
      parent.height,
      [parent.commit.index, fromHex(parent.commit.digest)],
      parent.tsMs,
    ],
    sides,
    statements,
    evidence,
  ]);
  return { ...plan, id: planId(wire), wire };
}

/** Identity of a plan, of whatever bytes. */
export function planId(wire: Uint8Array): Digest {
  return sha256(wire);
}

const authorShape: Shape<Author> = (value, what) =>
  Author(natural(limits.committeeWritersMax - 1)(value, what));

const parentShape: Shape<SplitParent> = (value, what) => {
  const [group, epoch, size, root, note, height, commit, tsMs] = fields(8)(value, what);
  const [index, hash] = fields(2)(commit, `${what}.commit`);
  return {
    group: digest(group, `${what}.group`),
    epoch: natural(2 ** 32 - 1)(epoch, `${what}.epoch`),
    size: natural()(size, `${what}.size`),
    root: exactBytes(32)(root, `${what}.root`),
    note: text(32_768)(note, `${what}.note`),
    height: natural()(height, `${what}.height`),
    commit: { index: natural()(index, `${what}.index`), digest: digest(hash, `${what}.digest`) },
    tsMs: natural(2 ** 48 - 1)(tsMs, `${what}.tsMs`),
  };
};

const planShape: Shape<Omit<SplitPlan, "id" | "wire">> = (value, what) => {
  const [version, parent, sides, statements, evidence] = fields(5)(value, what);
  require(version === 1, `${what} is of version 1`);
  const [first, second] = fields(2)(sides, `${what}.sides`);
  const side = list(authorShape, limits.committeeWritersMax);
  const wires = list(bytes(limits.evidenceBytesMax), limits.committeeWritersMax ** 2);
  return {
    parent: parentShape(parent, `${what}.parent`),
    sides: [side(first, `${what}.sides[0]`), side(second, `${what}.sides[1]`)],
    statements: wires(statements, `${what}.statements`),
    evidence: wires(evidence, `${what}.evidence`),
  };
};

/**
 * Reads and verifies a plan of any origin against the network that would split. Faults: MALFORMED_*, WRONG_GROUP,
 * NO_QUORUM and other faults of the checkpoint, WRONG_SIDES where the opinions do not ask for these two groups.
 */
export function readPlan(
  wire: Uint8Array,
  by: { readonly network: Network; readonly verifier: Verifier },
): Result<SplitPlan> {
  if (wire.length > limits.splitPlanBytesMax) return fail("TOO_LONG", "the plan is too long");
  const decoded = read(wire, planShape, "plan");
  if (!decoded.ok) return decoded;
  const plan: SplitPlan = { ...decoded.value, id: planId(wire), wire };
  const { network, verifier } = by;
  const { parent } = plan;
  const n = network.writers.length;
  // Counted before anything is verified: every one costs a signature check or more.
  if (plan.statements.length > n * (n - 1) || plan.evidence.length > n)
    return fail("TOO_LONG", "the plan has more opinions or proofs than the writers can have made");
  if (parent.group !== network.group || parent.epoch !== network.epoch)
    return fail("WRONG_GROUP", "the plan is of another network");
  const { origin, cosigners, quorum } = network;
  const certified = verifyNote(parent.note, { origin, cosigners, quorum, verifier });
  if (!certified.ok) return certified;
  const { size, root } = certified.value.checkpoint;
  if (size !== parent.size || !equalBytes(root, parent.root))
    return fail("WRONG_SIDES", "the checkpoint is not the one that the plan names");
  const fault = sidesFault(plan, by);
  return fault === undefined ? ok(plan) : fail("WRONG_SIDES", fault);
}

/** Why the two groups are not what the opinions ask for. */
function sidesFault(plan: SplitPlan, by: Judges): string | undefined {
  const convicted = convictedIn(plan, by);
  if (typeof convicted === "string") return convicted;
  const dead = deadIn(plan, by);
  if (typeof dead === "string") return dead;
  const { quorum, writers } = by.network;
  const members = writers.map(({ index }) => index).filter((one) => !convicted.has(one));
  const named = plan.sides.flat();
  const isWhole =
    named.length === members.length && members.every((member) => named.includes(member));
  if (!isWhole) return "the two groups are not all writers but the convicted, once each";
  const hostile = hostilityOf(dead);
  const division = divide({ members, hostile, reaches: () => true, quorum: writers.length + 1 });
  if (division.kind === "refused") return division.detail;
  const clash = plan.sides.some((side) => side.some((a) => side.some((b) => hostile(a, b))));
  if (clash) return "a group has two members that hold one another dead";
  const largest = Math.max(...plan.sides.map(({ length }) => length));
  return largest >= quorum ? `a group of ${largest} has the quorum already` : undefined;
}

interface Judges {
  readonly network: Network;
  readonly verifier: Verifier;
}

/** Those whom the plan's proofs convict; or what is wrong with a proof. */
function convictedIn(plan: SplitPlan, by: Judges): ReadonlySet<Author> | string {
  const court = { network: by.network, verifier: by.verifier };
  const convicted = new Set<Author>();
  for (const wire of plan.evidence) {
    const verdict = judge(wire, court);
    if (!verdict.ok || verdict.value.author === undefined) return "a proof convicts no writer";
    convicted.add(verdict.value.author);
  }
  return convicted;
}

/** The statements that hold somebody dead; or what is wrong with one. */
function deadIn(plan: SplitPlan, by: Judges): readonly Statement[] | string {
  const dead: Statement[] = [];
  for (const wire of plan.statements) {
    const read = readStatement(wire, by.network, by.verifier);
    if (!read.ok) return read.error.detail;
    if (read.value.statement.opinion === "dead") dead.push(read.value.statement);
  }
  return dead;
}

/** Two are hostile if either holds the other dead. */
export function hostilityOf(dead: readonly Statement[]): (a: Author, b: Author) => boolean {
  const edges = new Set(dead.map(({ by, about }) => `${by}/${about}`));
  return (a, b) => edges.has(`${a}/${b}`) || edges.has(`${b}/${a}`);
}

// ── joining ──

/** 0 or 1: which of a plan's two groups. */
export type SideIndex = 0 | 1;

/** The side of a plan on which a writer is. */
export function sideOf(plan: SplitPlan, author: Author): SideIndex | undefined {
  if (plan.sides[0].includes(author)) return 0;
  return plan.sides[1].includes(author) ? 1 : undefined;
}

/** What stands for one group in its members' signatures. */
export function splitBody(plan: Pick<SplitPlan, "id">, side: SideIndex): Digest {
  return sha256(encode([fromHex(plan.id), side]));
}

function splitPoint({ parent }: Pick<SplitPlan, "parent">): SplitPoint {
  return { group: parent.group, size: parent.size };
}

function joinBytes(plan: SplitPlan, side: SideIndex): Uint8Array {
  return signingBytes("split", splitIdentity(splitPoint(plan), splitBody(plan, side)));
}

/** A member's signature that it joins a side, with its own key. */
export function signJoin(
  plan: SplitPlan,
  side: SideIndex,
  signer: Pick<Signer, "sign">,
): Uint8Array {
  return signer.sign(joinBytes(plan, side));
}

/** True if a member signed that it joins this side. */
export function isJoinSigned(
  plan: SplitPlan,
  join: { readonly author: Author; readonly signature: Uint8Array },
  by: { readonly network: Network; readonly verifier: Verifier },
): boolean {
  const key = by.network.writers[join.author]?.nodeKey;
  const side = sideOf(plan, join.author);
  if (key === undefined || side === undefined) return false;
  return by.verifier.verify(key, joinBytes(plan, side), join.signature);
}

/** A new group: a plan, and the signatures of all who are in it. */
export interface SplitGroup {
  /** Identity of the new group. */
  readonly group: Digest;
  readonly plan: SplitPlan;
  readonly side: SideIndex;
  readonly members: readonly Author[];
  readonly wire: Uint8Array;
}

/** Identity of the group that one side of a plan founds. */
export function groupIdentity(plan: SplitPlan, side: SideIndex): Digest {
  const identity = splitIdentity(splitPoint(plan), splitBody(plan, side));
  return taggedDigest("split-group", fromHex(identity));
}

/** The founding document of a group: its plan, and every member's signature. */
export function encodeGroup(
  plan: SplitPlan,
  side: SideIndex,
  signatures: ReadonlyMap<Author, Uint8Array>,
): Uint8Array {
  const members = plan.sides[side];
  return encode([1, plan.wire, side, members.map((member) => signatures.get(member) ?? null)]);
}

const groupShape = (
  value: Parameters<Shape<unknown>>[0],
  what: string,
): { plan: Uint8Array; side: SideIndex; signatures: readonly Uint8Array[] } => {
  const [version, plan, side, signatures] = fields(4)(value, what);
  require(version === 1, `${what} is of version 1`);
  return {
    plan: bytes(limits.splitPlanBytesMax)(plan, `${what}.plan`),
    side: natural(1)(side, `${what}.side`) as SideIndex,
    signatures: list(exactBytes(64), limits.committeeWritersMax)(signatures, `${what}.signatures`),
  };
};

/** Reads and verifies a group of any origin. Faults: those of {@link readPlan}, and NOT_JOINED. */
export function readGroup(
  wire: Uint8Array,
  by: { readonly network: Network; readonly verifier: Verifier },
): Result<SplitGroup> {
  const decoded = read(wire, groupShape, "group");
  if (!decoded.ok) return decoded;
  const { side, signatures } = decoded.value;
  const read_ = readPlan(decoded.value.plan, by);
  if (!read_.ok) return read_;
  const plan = read_.value;
  const members = plan.sides[side];
  const isWhole =
    members.length > 0 &&
    members.length === signatures.length &&
    members.every((author, i) =>
      isJoinSigned(plan, { author, signature: signatures[i] ?? new Uint8Array(0) }, by),
    );
  if (!isWhole) return fail("NOT_JOINED", "not all members of the group have signed it");
  return ok({ group: groupIdentity(plan, side), plan, side, members, wire });
}
