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
import type { Ref } from "../../core/consensus/index.ts";
import { padded } from "../../core/mirror/index.ts";
import type { Position, StateStore } from "../../io/ports/index.ts";

/** Bytes of a digest by which the blocks of a round are told apart; whoever gets one checks all of it. */
const prefixBytes = 8;
/** Blocks of a round that are remembered: each of the committee, and the twins that cheaters made. */
const blocksMax = 4 * limits.committeeWritersMax;

interface Place {
  readonly prefix: string;
  readonly position: Position;
}

const placeShape: Shape<Place> = (value, what) => {
  const [prefix, segment, offset] = fields(3)(value, what);
  return {
    prefix: toHex(exactBytes(prefixBytes)(prefix, `${what}.prefix`)),
    position: {
      segment: natural()(segment, `${what}.segment`),
      offset: natural()(offset, `${what}.offset`),
    },
  };
};

const roundKey = (round: number): string => `r/${padded(round)}`;
const prefixOf = ({ digest }: Pick<Ref, "digest">): string => digest.slice(0, 2 * prefixBytes);

function placesOf(state: StateStore, round: number): readonly Place[] {
  const stored = state.get(roundKey(round));
  const places =
    stored === undefined ? undefined : read(stored, list(placeShape, blocksMax), "round");
  return places?.ok ? places.value : [];
}

/**
 * The entry of a round that memory forgets: where its blocks stand in the log. After a restart a part of a round may be
 * remembered that was forgotten whole before: what is known of it stays.
 */
export function roundEntry(
  state: StateStore,
  round: number,
  blocks: Iterable<{ readonly ref: Ref; readonly position: Position }>,
): [string, Uint8Array] {
  const places = new Map(placesOf(state, round).map(({ prefix, position }) => [prefix, position]));
  for (const { ref, position } of blocks)
    if (places.size < blocksMax) places.set(prefixOf(ref), position);
  const rows: Value[] = [...places].map(([prefix, { segment, offset }]) => [
    fromHex(prefix),
    segment,
    offset,
  ]);
  return [roundKey(round), encode(rows)];
}

/**
 * Where a block stands that memory has forgotten, however old. What an honest host needs and another one has can always
 * be had: a cheater's block may name one from long ago, which it showed to nobody else.
 */
export function oldPosition(state: StateStore, ref: Ref): Position | undefined {
  const prefix = prefixOf(ref);
  return placesOf(state, ref.round).find((place) => place.prefix === prefix)?.position;
}
