import { fromHex, limits, toHex } from "../../core/base/index.ts";
import {
  encode,
  exactBytes,
  fields,
  list,
  natural,
  read,
  type Shape,
  type Value,
} from "../../core/codec/index.ts";
import type { RecordName } from "../../core/consensus/index.ts";
import type { Position, StateStore } from "../../io/ports/index.ts";
import { logKeys } from "./keys.ts";

/** Bytes of a digest by which the records of a place are told apart; whoever gets one checks all of it. */
const prefixBytes = 8;
/** Records of a place that are remembered: each of the committee, and the twins that cheaters made. */
const recordsMax = 4 * limits.committeeWritersMax;

interface Indexed {
  readonly prefix: string;
  readonly position: Position;
}

const indexedShape: Shape<Indexed> = (value, what) => {
  const [prefix, segment, offset] = fields(3)(value, what);
  return {
    prefix: toHex(exactBytes(prefixBytes)(prefix, `${what}.prefix`)),
    position: {
      segment: natural()(segment, `${what}.segment`),
      offset: natural()(offset, `${what}.offset`),
    },
  };
};

const prefixOf = ({ digest }: Pick<RecordName, "digest">): string =>
  digest.slice(0, 2 * prefixBytes);

function indexedAt(state: StateStore, place: number): readonly Indexed[] {
  const stored = state.get(logKeys.place(place));
  const places =
    stored === undefined ? undefined : read(stored, list(indexedShape, recordsMax), "place");
  return places?.ok ? places.value : [];
}

/**
 * The entry of a place that memory forgets: where its records stand in the log. After a restart a part of a place may be
 * remembered that was forgotten whole before: what is known of it stays.
 */
export function placeEntry(
  state: StateStore,
  place: number,
  records: Iterable<{ readonly name: RecordName; readonly position: Position }>,
): [string, Uint8Array] {
  const positions = new Map(
    indexedAt(state, place).map(({ prefix, position }) => [prefix, position]),
  );
  for (const { name, position } of records)
    if (positions.size < recordsMax) positions.set(prefixOf(name), position);
  const rows: Value[] = [...positions].map(([prefix, { segment, offset }]) => [
    fromHex(prefix),
    segment,
    offset,
  ]);
  return [logKeys.place(place), encode(rows)];
}

/**
 * Where a record stands that memory has forgotten, however old. What an honest host needs and another one has can always
 * be had: a cheater's block may name one from long ago, which it showed to nobody else.
 */
export function oldPosition(state: StateStore, name: RecordName): Position | undefined {
  const prefix = prefixOf(name);
  return indexedAt(state, name.place).find((one) => one.prefix === prefix)?.position;
}
