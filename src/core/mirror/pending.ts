import { type Author, type Digest, limits, type PublicKey } from "../base/index.ts";
import type { OrderedBatch } from "./execution.ts";
import type { MirrorState, PendingUpdate } from "./state.ts";
import { messageKinds, readHeld } from "./update.ts";

/**
 * Whether an update of this publisher may be accepted, and which one gives it up its place. A publisher has a share of what
 * may be open; where all room is taken, who has most of it gives up its newest. So updates that nobody will ever hold cost
 * nobody but their publisher.
 */
export function roomFor(
  publisher: PublicKey,
  pending: MirrorState["pending"],
): { readonly isThere: boolean; readonly leaves?: PendingUpdate } {
  const byPublisher = new Map<PublicKey, PendingUpdate[]>();
  for (const one of pending.values()) {
    const theirs = byPublisher.get(one.publisher);
    if (theirs === undefined) byPublisher.set(one.publisher, [one]);
    else theirs.push(one);
  }
  const own = byPublisher.get(publisher)?.length ?? 0;
  if (own >= limits.pendingPerPublisherMax) return { isThere: false };
  if (pending.size < limits.pendingUpdatesMax) return { isThere: true };
  const most = [...byPublisher.values()].reduce((a, b) => (b.length > a.length ? b : a));
  const leaves = most.at(-1);
  return leaves !== undefined && most.length > own + 1
    ? { isThere: true, leaves }
    : { isThere: false };
}

/** The open updates that a batch's `held` are about, and who holds each after it. */
export function completedBy(
  { messages }: OrderedBatch,
  open: MirrorState["pending"],
): ReadonlyMap<PendingUpdate, ReadonlySet<Author>> {
  const holders = new Map<PendingUpdate, Set<Author>>();
  for (const { kind, bytes, author } of messages) {
    const ids = kind === messageKinds.held ? readHeld(bytes) : undefined;
    if (ids?.ok !== true) continue;
    for (const pending of openOf(ids.value, open))
      holders.set(pending, (holders.get(pending) ?? new Set(pending.heldBy)).add(author));
  }
  return holders;
}

function openOf(ids: readonly Digest[], open: MirrorState["pending"]): readonly PendingUpdate[] {
  return ids.flatMap((id) => open.get(id) ?? []);
}
