import { Author, type Digest, fail, fromHex, limits, ok, type Result } from "../base/index.ts";
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
import { type Signer, signingBytes, taggedDigest, type Verifier } from "../crypto/index.ts";

/** What one host thinks of another. `corrupt` is none of these: it is a theorem, and needs evidence. */
export type Opinion = "ok" | "suspected" | "dead";
/** By their numbers in statements; never reordered. */
export const opinions: readonly Opinion[] = ["ok", "suspected", "dead"];

/** Why, as numbers: what people read is made from them. */
export interface Reason {
  readonly code: ReasonCode;
  /** POSIX milliseconds of its maker's clock: since when. */
  readonly sinceMs: number;
  /** Rounds that went by without a block. */
  readonly rounds: number;
  /** Questions that were not answered. */
  readonly unanswered: number;
}
/** By their numbers in statements; never reordered. */
const reasonCodes = ["punctual", "no-link", "no-block", "silent", "operator"] as const;
export type ReasonCode = (typeof reasonCodes)[number];

/** One host on another, as it can be signed. */
export interface Statement {
  readonly by: Author;
  readonly about: Author;
  readonly opinion: Opinion;
  readonly reason: Reason;
  /** Rises with every statement of `by`: a later one replaces an earlier one. */
  readonly serial: number;
}

const authorShape: Shape<Author> = (value, what) =>
  Author(natural(limits.committeeWritersMax - 1)(value, what));

/** The value that {@link statementShape} reads. */
export function statementValue({ by, about, opinion, reason, serial }: Statement): Value {
  return [by, about, opinions.indexOf(opinion), reasonValue(reason), serial];
}

/** Reads a statement; nothing is verified. */
export const statementShape: Shape<Statement> = (value, what) => {
  const [by, about, opinion, reason, serial] = fields(5)(value, what);
  return {
    by: authorShape(by, `${what}.by`),
    about: authorShape(about, `${what}.about`),
    opinion: opinionShape(opinion, `${what}.opinion`),
    reason: reasonShape(reason, `${what}.reason`),
    serial: natural(2 ** 48 - 1)(serial, `${what}.serial`),
  };
};

/** A statement with the signature of its maker's node key. */
export interface SignedStatement {
  readonly statement: Statement;
  readonly wire: Uint8Array;
}

function reasonValue({ code, sinceMs, rounds, unanswered }: Reason): Value {
  return [reasonCodes.indexOf(code), sinceMs, rounds, unanswered];
}

const reasonShape: Shape<Reason> = (value, what) => {
  const [code, sinceMs, rounds, unanswered] = fields(4)(value, what);
  const name = reasonCodes[natural(reasonCodes.length - 1)(code, `${what}.code`)];
  require(name !== undefined, `${what}.code is known`);
  return {
    code: name,
    sinceMs: natural(2 ** 48 - 1)(sinceMs, `${what}.sinceMs`),
    rounds: natural(2 ** 32 - 1)(rounds, `${what}.rounds`),
    unanswered: natural(65_535)(unanswered, `${what}.unanswered`),
  };
};

const opinionShape: Shape<Opinion> = (value, what) => {
  const name = opinions[natural(opinions.length - 1)(value, what)];
  require(name !== undefined, `${what} is an opinion`);
  return name;
};

function bodyOf({ group, epoch }: Scope, statement: Statement): Uint8Array {
  return encode([fromHex(group), epoch, statementValue(statement)]);
}

type Scope = Pick<Network, "group" | "epoch">;

/** Signs an opinion with the host's own key. */
export function signStatement(
  scope: Scope,
  statement: Statement,
  signer: Pick<Signer, "sign">,
): SignedStatement {
  const body = bodyOf(scope, statement);
  const signature = signer.sign(signingBytes("opinion", taggedDigest("opinion", body)));
  return { statement, wire: encode([body, signature]) };
}

interface Body {
  readonly group: Digest;
  readonly epoch: number;
  readonly statement: Statement;
}

const bodyShape: Shape<Body> = (value, what) => {
  const [group, epoch, statement] = fields(3)(value, what);
  return {
    group: digest(group, `${what}.group`),
    epoch: natural(2 ** 32 - 1)(epoch, `${what}.epoch`),
    statement: statementShape(statement, `${what}.statement`),
  };
};

const envelopeShape: Shape<{ body: Uint8Array; signature: Uint8Array }> = (value, what) => {
  const [body, signature] = fields(2)(value, what);
  return {
    body: bytes(512)(body, `${what}.body`),
    signature: exactBytes(64)(signature, `${what}.signature`),
  };
};

/** Reads and verifies a statement of any origin. Faults: MALFORMED_*, NOT_CANONICAL, WRONG_GROUP, BAD_SIGNATURE, UNKNOWN_WRITER. */
export function readStatement(
  wire: Uint8Array,
  network: Network,
  verifier: Verifier,
): Result<SignedStatement> {
  const envelope = read(wire, envelopeShape, "opinion");
  if (!envelope.ok) return envelope;
  const { body, signature } = envelope.value;
  const decoded = read(body, bodyShape, "opinion");
  if (!decoded.ok) return decoded;
  const { group, epoch, statement } = decoded.value;
  if (group !== network.group || epoch !== network.epoch)
    return fail("WRONG_GROUP", "the opinion is of another group or epoch");
  const maker = network.writers[statement.by];
  const isAboutOther = statement.by !== statement.about;
  if (maker === undefined || network.writers[statement.about] === undefined || !isAboutOther)
    return fail("UNKNOWN_WRITER", "an opinion is of one writer on another");
  const message = signingBytes("opinion", taggedDigest("opinion", body));
  if (!verifier.verify(maker.nodeKey, message, signature))
    return fail("BAD_SIGNATURE", `the opinion is not signed by ${maker.name}`);
  return ok({ statement, wire });
}

/** A reason in words: `no block for 412 rounds, 3 probes unanswered since 12:04:10`. Times are UTC. */
export function reasonText(
  opinion: Opinion,
  { code, sinceMs, rounds, unanswered }: Reason,
): string {
  const since = sinceMs > 0 ? ` since ${new Date(sinceMs).toISOString().slice(11, 19)}` : "";
  const probes =
    unanswered > 0 ? `, ${unanswered} probe${unanswered > 1 ? "s" : ""} unanswered` : "";
  const blocks = rounds > 0 ? `no block for ${rounds} rounds` : "no block";
  switch (code) {
    case "punctual":
      return `${opinion}: takes part${since}`;
    case "no-link":
      return `${opinion}: no link, ${rounds > 0 ? `${blocks}${probes}` : `nothing heard${probes}`}${since}`;
    case "no-block":
      return `${opinion}: ${blocks}${probes}${since}`;
    case "silent":
      return `${opinion}: silent for longer than its habit, ${blocks}${probes}${since}`;
    case "operator":
      return `${opinion}: set by the operator${since}`;
  }
}
