import {
  type Digest,
  fail,
  fromHex,
  limits,
  ok,
  PublicKey,
  type Result,
  toHex,
} from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  fields,
  list,
  natural,
  publicKey,
  read,
  type Shape,
} from "../codec/index.ts";
import type { Signer, Verifier } from "../crypto/index.ts";
import { stateKeys } from "./keys.ts";
import { bodyOf, readSigned, type Signed, signBody } from "./signed.ts";

/**
 * Application messages of one client under a number that it uses once. A writer may order what it was given more than
 * once, and a client that hears nothing asks another writer: the order takes each number of a client once, whoever
 * brought it and however often.
 */
export interface AppendRecord {
  readonly group: Digest;
  /** The client's own key; it need be known to nobody. */
  readonly client: PublicKey;
  /** 0, 1, 2, …; of the last {@link windowMax} any may come, in any order. */
  readonly sequence: number;
  /** One little-endian u32 a message, and the messages back to back: as in a segment. */
  readonly lengths: Uint8Array;
  readonly data: Uint8Array;
}

export type SignedAppend = Signed<AppendRecord>;

/** Numbers of a client that are remembered; older ones are refused. */
const windowMax = 64;

const appendShape: Shape<AppendRecord> = (value, what) => {
  const [group, client, sequence, lengths, data] = fields(5)(value, what);
  return {
    group: digest(group, `${what}.group`),
    client: publicKey(client, `${what}.client`),
    sequence: natural()(sequence, `${what}.sequence`),
    lengths: bytes(limits.messageBytesMax)(lengths, `${what}.lengths`),
    data: bytes(limits.messageBytesMax)(data, `${what}.data`),
  };
};

/** The record as it is ordered, signed by its client. */
export function signAppend(record: AppendRecord, signer: Signer): SignedAppend {
  const { group, client, sequence, lengths, data } = record;
  const body = encode([fromHex(group), fromHex(client), sequence, lengths, data]);
  return signBody("append", { record, body, signer });
}

/** Faults: those of signed records; BAD_LENGTHS where lengths and messages do not fit together. */
export function readAppend(
  wire: Uint8Array,
  group: Digest,
  verifier: Verifier,
): Result<SignedAppend> {
  const signed = readSigned(wire, {
    kind: "append",
    shape: appendShape,
    groups: new Set([group]),
    verifier,
    by: ({ client }) => client,
  });
  if (!signed.ok) return signed;
  const { lengths, data } = signed.value.record;
  return lengths.length > 0 && lengths.length % 4 === 0 && sumOf(lengths) === data.length
    ? signed
    : fail("BAD_LENGTHS", "the lengths of the messages do not add up to their bytes");
}

/** The record in a message whose signature was checked when it was executed. */
export function appendOf(wire: Uint8Array): AppendRecord | undefined {
  const record = bodyOf(wire, "append", appendShape);
  return record.ok ? record.value : undefined;
}

function sumOf(lengths: Uint8Array): number {
  const view = new DataView(lengths.buffer, lengths.byteOffset, lengths.byteLength);
  let sum = 0;
  for (let at = 0; at < lengths.length; at += 4) sum += view.getUint32(at, true);
  return sum;
}

/** Where the messages of one number stand. */
export interface Appended {
  readonly first: number;
  readonly count: number;
  /** False for a repetition: it stands where it stood. */
  readonly isNew: boolean;
}

interface Client {
  /** When it was taken last: its place among the clients that are remembered. */
  readonly turn: number;
  /** [sequence, first index, count] of its last numbers, the smallest first. */
  readonly window: readonly (readonly [number, number, number])[];
}

const placeShape: Shape<readonly [number, number, number]> = (value, what) => {
  const [sequence, first, count] = fields(3)(value, what);
  return [
    natural()(sequence, `${what}.sequence`),
    natural()(first, `${what}.first`),
    natural()(count, `${what}.count`),
  ];
};

const clientShape: Shape<Client> = (value, what) => {
  const [turn, window] = fields(2)(value, what);
  return {
    turn: natural()(turn, `${what}.turn`),
    window: list(placeShape, windowMax)(window, `${what}.window`),
  };
};

/** What the replicated state knows when a record is ordered. */
interface Around {
  readonly get: (key: string) => Uint8Array | undefined;
  /** Index that the next message will have, and records taken so far. */
  readonly next: number;
  readonly turn: number;
}

/** What an ordered record does. Faults: OLD_SEQUENCE for a number that is not remembered any more. */
export function onAppend(
  { client, sequence, lengths }: AppendRecord,
  { get, next, turn }: Around,
): Result<{
  readonly place: Appended;
  readonly writes: readonly (readonly [string, Uint8Array | undefined])[];
}> {
  const key = stateKeys.appender(client);
  const stored = get(key);
  const known = stored === undefined ? undefined : read(stored, clientShape, "client");
  const window = known?.ok ? known.value.window : [];
  const before = window.find(([number]) => number === sequence);
  if (before !== undefined) {
    const [, first, count] = before;
    return ok({ place: { first, count, isNew: false }, writes: [] });
  }
  const [oldest] = window;
  if (window.length === windowMax && oldest !== undefined && sequence < oldest[0])
    return fail("OLD_SEQUENCE", `of this client only the last ${windowMax} numbers are remembered`);
  const count = lengths.length / 4;
  const places = [...window, [sequence, next, count] as const].sort(([a], [b]) => a - b);
  const slot = stateKeys.appenderTurn(turn % limits.appendersMax);
  const writes: [string, Uint8Array | undefined][] = [];
  const leaving = get(slot);
  // Who was taken longest ago makes room, unless it has come again since.
  if (leaving !== undefined) {
    const name = stateKeys.appender(PublicKey(toHex(leaving)));
    const other = get(name);
    const its = other === undefined ? undefined : read(other, clientShape, "client");
    if (its?.ok && its.value.turn === turn - limits.appendersMax) writes.push([name, undefined]);
  }
  const value = encode([turn, places.slice(-windowMax)]);
  writes.push([slot, fromHex(client)], [key, value]);
  return ok({ place: { first: next, count, isNew: true }, writes });
}
