import type { Digest, PublicKey } from "../../core/base/index.ts";
import type { SignedUpdate } from "../../core/mirror/index.ts";

/** An update that is being brought. */
export interface Open {
  readonly update: SignedUpdate;
  /** Known once the change list is here. */
  blobs: ReadonlyMap<Digest, number> | undefined;
  /** So many of them, the first ones, were seen here: whoever brings the others asks again and again what is missing. */
  hereUntil: number;
}

/** Updates that publishers are bringing at once, and a part more for many blobs. For one more, who has most gives up one. */
const openMax = 256;

/** Blobs of an update that count as one update more. */
const blobsPerPlace = 16_384;

type Place = Pick<Open, "update"> & { readonly blobs?: Open["blobs"] };

function placesOf({ blobs }: Place): number {
  return 1 + Math.floor((blobs?.size ?? 0) / blobsPerPlace);
}

/**
 * Who has most updates here gives up the one of those that are open that was touched longest ago. False if there is no room,
 * since all wait for the order.
 */
export function makeRoom(open: Map<Digest, Place>, ordered: ReadonlyMap<Digest, Place>): boolean {
  const places = new Map<PublicKey, number>();
  let all = 0;
  for (const each of [...open.values(), ...ordered.values()]) {
    const { publisher } = each.update.record;
    places.set(publisher, (places.get(publisher) ?? 0) + placesOf(each));
    all += placesOf(each);
  }
  while (all >= openMax) {
    const leaves = oldestOfGreediest(open, places);
    if (leaves === undefined) return false;
    const [id, place] = leaves;
    const { publisher } = place.update.record;
    open.delete(id);
    places.set(publisher, (places.get(publisher) ?? 0) - placesOf(place));
    all -= placesOf(place);
  }
  return true;
}

function oldestOfGreediest(
  open: ReadonlyMap<Digest, Place>,
  places: ReadonlyMap<PublicKey, number>,
): readonly [Digest, Place] | undefined {
  let found: readonly [Digest, Place] | undefined;
  let most = 0;
  for (const [id, place] of open) {
    const theirs = places.get(place.update.record.publisher) ?? 0;
    if (theirs > most) [found, most] = [[id, place], theirs];
  }
  return found;
}
