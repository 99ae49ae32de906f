import {
  type Author,
  type Digest,
  limits,
  type PublicKey,
  type Result,
  toHex,
} from "../base/index.ts";
import { sha256Text, type Verifier } from "../crypto/index.ts";
import { type SignedStatement, type Statement, withStatement } from "../opinion/index.ts";
import { stateKeys } from "./keys.ts";
import type { LogLeaf } from "./leaves.ts";
import {
  type ConvictionRecord,
  decodeConviction,
  decodeReaderProof,
  encodeConviction,
  encodeReaderProof,
} from "./records.ts";
import type { MirrorState } from "./state.ts";
import { readPardon } from "./update.ts";

/** What a proof of misbehaviour comes to; how it is judged is not the mirror's business. */
export interface Conviction {
  readonly id: Digest;
  /** Number of the kind of misdeed, as leaves have it. */
  readonly of: number;
  readonly culprit: PublicKey;
  /** Its place in the committee, if it is a writer. */
  readonly author: Author | undefined;
  /** Equal for every proof of one misdeed. */
  readonly offence: string;
  readonly detail: string;
  readonly wire: Uint8Array;
}

/** How statements about hosts are read; the same at every host. */
export interface HostJudge {
  readonly idOf: (evidence: Uint8Array) => Digest;
  readonly judge: (evidence: Uint8Array) => Result<Conviction>;
  readonly statement: (wire: Uint8Array) => Result<SignedStatement>;
  /** The identity of a group that began where this one did, from its founding document. */
  readonly sibling: (wire: Uint8Array) => Result<Digest>;
}

export type HostEvent =
  | { readonly type: "opinion"; readonly statement: Statement }
  | { readonly type: "convicted"; readonly conviction: Conviction }
  | { readonly type: "origin"; readonly group: Digest }
  | { readonly type: "pardoned"; readonly culprit: PublicKey; readonly author: Author | undefined };

/** What one ordered message about a host does to the replicated state; `ignored` carries a code to count. */
export type AboutHost =
  | {
      readonly kind: "taken";
      readonly state: MirrorState;
      readonly event: HostEvent;
      readonly leaf?: LogLeaf;
      /** Given the place of the leaf; a value of `undefined` removes a key. */
      readonly writes?: (leaf: number) => readonly (readonly [string, Uint8Array | undefined])[];
    }
  | { readonly kind: "ignored"; readonly code: string };

interface Around {
  readonly state: MirrorState;
  readonly get: (key: string) => Uint8Array | undefined;
  readonly court: HostJudge;
}

const ignored = (code: string): AboutHost => ({ kind: "ignored", code });

/** An opinion counts as its maker's only in its maker's own block, and only if it is newer than the last. */
export function onOpinion(wire: Uint8Array, author: Author, { state, court }: Around): AboutHost {
  const read = court.statement(wire);
  if (!read.ok) return ignored(read.error.code);
  const { statement } = read.value;
  if (statement.by !== author) return ignored("NOT_OWN_OPINION");
  const opinions = withStatement(state.opinions, statement);
  if (opinions === state.opinions) return ignored("OLD_OPINION");
  return {
    kind: "taken",
    state: { ...state, opinions },
    event: { type: "opinion", statement },
  };
}

/** Where the store says that a misdeed is proven. */
export function offenceKey(offence: string): string {
  return stateKeys.offence(toHex(sha256Text(offence)) as Digest);
}

function convictionOf(culprit: PublicKey, { get }: Around): ConvictionRecord | undefined {
  const stored = get(stateKeys.conviction(culprit));
  const record = stored === undefined ? undefined : decodeConviction(stored);
  return record?.ok ? record.value : undefined;
}

/**
 * A misdeed is ordered once, whoever reports it; a host's later ones are counted up to a limit. `reporter` is the writer
 * whose block brought it.
 */
export function onEvidence(wire: Uint8Array, reporter: Author, around: Around): AboutHost {
  const { state, get, court } = around;
  if (wire.length > limits.evidenceBytesMax) return ignored("EVIDENCE_TOO_LONG");
  if (get(stateKeys.evidence(court.idOf(wire))) !== undefined) return ignored("DUPLICATE_EVIDENCE");
  const judged = court.judge(wire);
  if (!judged.ok) return ignored("FALSE_EVIDENCE");
  const conviction = judged.value;
  const { culprit, id, of, author } = conviction;
  const offence = offenceKey(conviction.offence);
  if (get(offence) !== undefined) return ignored("DUPLICATE_EVIDENCE");
  const before = convictionOf(culprit, around);
  if ((before?.count ?? 0) >= limits.evidencePerHostMax) return ignored("ENOUGH_EVIDENCE");
  const convicted = author === undefined ? state.convicted : new Set([...state.convicted, author]);
  const room =
    author === undefined ? roomFor({ culprit, id, offence }, reporter, around) : undefined;
  const record = {
    count: (before?.count ?? 0) + 1,
    evidence: id,
    of,
    tsMs: state.tsMs,
    pardon: "",
  };
  return {
    kind: "taken",
    state: { ...state, convicted, readerProofs: room?.readerProofs ?? state.readerProofs },
    event: { type: "convicted", conviction },
    leaf: { kind: "evidence", id, culprit, of },
    writes: (leaf) => [
      ...(room?.writes ?? []),
      [stateKeys.evidence(id), wire],
      [offence, new Uint8Array(0)],
      [stateKeys.conviction(culprit), encodeConviction({ ...record, leaf })],
    ],
  };
}

/**
 * Anybody can make a key, call it a reader's and convict it, so proofs against hosts that are no writers have room per
 * reporter: the newest take the place of the same writer's oldest. A writer that brings invented ones forgets its own.
 */
function roomFor(
  proof: { readonly culprit: PublicKey; readonly id: Digest; readonly offence: string },
  reporter: Author,
  around: Around,
): {
  readonly readerProofs: MirrorState["readerProofs"];
  readonly writes: readonly (readonly [string, Uint8Array | undefined])[];
} {
  const { state, get } = around;
  const count = state.readerProofs.get(reporter) ?? 0;
  const slot = stateKeys.readerProof(reporter, count % limits.readerProofsPerWriterMax);
  const stored = get(slot);
  const old = stored === undefined ? undefined : decodeReaderProof(stored);
  const writes: [string, Uint8Array | undefined][] = [[slot, encodeReaderProof(proof)]];
  if (old?.ok) {
    writes.push([stateKeys.evidence(old.value.id), undefined], [old.value.offence, undefined]);
    // A later proof against the same host stands in a place of its own.
    if (convictionOf(old.value.culprit, around)?.evidence === old.value.id)
      writes.push([stateKeys.conviction(old.value.culprit), undefined]);
  }
  return { readerProofs: new Map([...state.readerProofs, [reporter, count + 1]]), writes };
}

/** Only an administrator pardons, and only for the last proof: not for misdeeds to come. */
export function onPardon(
  wire: Uint8Array,
  by: {
    readonly group: Digest;
    readonly verifier: Verifier;
    readonly authorOf: (key: PublicKey) => Author | undefined;
  },
  around: Around,
): AboutHost {
  const { state } = around;
  const read = readPardon(wire, by.group, by.verifier);
  if (!read.ok) return ignored(read.error.code);
  const { administrator, culprit, evidence, reason } = read.value.record;
  if (!state.policy.administrators.includes(administrator)) return ignored("NOT_ADMINISTRATOR");
  const before = convictionOf(culprit, around);
  if (before === undefined || before.evidence !== evidence || before.pardon !== "")
    return ignored("NOTHING_TO_PARDON");
  const author = by.authorOf(culprit);
  const convicted = new Set([...state.convicted].filter((one) => one !== author));
  const pardon = reason === "" ? "no reason given" : reason;
  return {
    kind: "taken",
    state: { ...state, convicted },
    event: { type: "pardoned", culprit, author },
    leaf: { kind: "pardon", id: evidence, culprit },
    // It begins anew: its next misdeed convicts it again.
    writes: () => [
      [stateKeys.conviction(culprit), encodeConviction({ ...before, count: 0, pardon })],
    ],
  };
}

/** So many other groups can be admitted: a split makes one more at most. */
const originsMax = 64;

/** Another group of the same past is admitted: its publishers' records may be submitted here. */
export function onOrigin(wire: Uint8Array, { state, court }: Around): AboutHost {
  const group = court.sibling(wire);
  if (!group.ok) return ignored(group.error.code);
  if (state.origins.has(group.value) || state.origins.size >= originsMax)
    return ignored("KNOWN_ORIGIN");
  return {
    kind: "taken",
    state: { ...state, origins: new Set([...state.origins, group.value]) },
    event: { type: "origin", group: group.value },
  };
}
