import { bigEndian, equalBytes, type Result, readBigEndian } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { rootOf } from "../../core/crypto/index.ts";
import {
  decodeOutcome,
  decodeState,
  encodeState,
  keySpaces,
  type MirrorState,
  padded,
  stateKeys,
} from "../../core/mirror/index.ts";
import { fractionState } from "../../core/split/index.ts";
import { type StateStore, StorageError } from "../../io/ports/index.ts";
import { logSpaces } from "./keys.ts";

type Writes = (readonly [string, Uint8Array | undefined])[];

/**
 * What makes the data of a network those of a group that split from it: the state of the common checkpoint, with the
 * leaf of the split, and nothing of what came after. Throws STORAGE_BEFORE_SPLIT where the checkpoint is not here.
 */
export function fractionWrites(store: StateStore, network: Network): Writes {
  const stored = store.get(stateKeys.certifiedState);
  const decoded = stored === undefined ? undefined : decodeState(stored);
  const at = network.parent?.at;
  const isThere =
    decoded?.ok === true &&
    decoded.value.log.size === at?.size &&
    equalBytes(rootOf(decoded.value.log), at.root);
  if (!isThere)
    throw new StorageError(
      "STORAGE_BEFORE_SPLIT",
      `the group begins at ${at?.size ?? "?"} leaves of the log, and what is certified here is of ${decoded?.ok ? decoded.value.log.size : 0}; remove the directories "state" and "log" to follow it from the beginning, as a reader`,
    );
  const { state, writes } = fractionState(decoded.value, network);
  return [
    ...[...removals(store, decoded.value)].map((key) => [key, undefined] as const),
    ...writes,
    [stateKeys.mirror, encodeState(state)],
    ...completeWrites(store, state.height),
  ];
}

/** Of heights that were complete, those count that are still there. */
function completeWrites(store: StateStore, height: number): Writes {
  const complete = store.get(stateKeys.complete);
  if (complete === undefined || readBigEndian(complete) <= height) return [];
  return [[stateKeys.complete, bigEndian(height, 6)]];
}

/** Keys of what the old group did after the checkpoint. */
function* removals(store: StateStore, state: MirrorState): Generator<string> {
  const { height, log, commit, messages, tsMs } = state;
  const after: readonly (readonly [string, number])[] = [
    [keySpaces.height, height + 1],
    [keySpaces.leaf, log.size],
    [keySpaces.due, log.size + 1],
    [keySpaces.checkpoint, log.size + 1],
    [logSpaces.batch, commit.index + 1],
    [logSpaces.certificate, commit.index + 1],
    [keySpaces.messages, messages],
  ];
  for (const [kind, from] of after) yield* keysFrom(store, `${kind}/${padded(from)}`, `${kind}0`);
  const isLater: readonly (readonly [string, (key: string, value: Uint8Array) => boolean])[] = [
    [keySpaces.update, (_, value) => leafOf(decodeOutcome(value)) >= log.size],
    // Whom the old group convicted is not the new one's matter: what some members knew after the checkpoint, others did not.
    [keySpaces.conviction, () => true],
    [keySpaces.readerProof, () => true],
    // Likewise what is remembered of clients of the broadcast.
    [keySpaces.appender, () => true],
    [keySpaces.appenderTurn, () => true],
    [keySpaces.history, (key) => Number.parseInt(key.slice(key.lastIndexOf("/") + 1), 16) > height],
    // What a path changed last is then found anew from its history.
    [keySpaces.lastChange, (_, value) => readBigEndian(value) > tsMs],
  ];
  for (const [kind, isGone] of isLater)
    for (const [key, value] of store.range({ start: `${kind}/`, end: `${kind}0` }))
      if (isGone(key, value)) yield key;
}

function leafOf(record: Result<{ readonly leaf: number }>): number {
  return record.ok ? record.value.leaf : 0;
}

function* keysFrom(store: StateStore, start: string, end: string): Generator<string> {
  for (const [key] of store.range({ start, end })) yield key;
}
