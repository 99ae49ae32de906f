import { bigEndian, readBigEndian, type Steps } from "../base/index.ts";
import type { ChangeList } from "./changes.ts";
import { hashedPath, stateKeys } from "./keys.ts";
import type { MirrorState } from "./state.ts";

/**
 * Writes down when each path changed. HTTP dates know only seconds: two changes of a path never share one, so that a client
 * that asks "modified since?" misses none.
 */
export function* recordingHistory(
  { tree, changes }: ChangeList,
  {
    get,
    put,
    at: { tsMs, height },
  }: {
    readonly get: (key: string) => Uint8Array | undefined;
    readonly put: (key: string, value: Uint8Array) => void;
    readonly at: Pick<MirrorState, "tsMs" | "height">;
  },
): Steps<void> {
  let stamp = bigEndian(tsMs, 6);
  for (const { path } of changes) {
    yield 1;
    const hashed = hashedPath(tree, path);
    const latest = get(stateKeys.lastChange(hashed));
    const floorMs =
      latest === undefined ? 0 : (Math.floor(readBigEndian(latest) / 1000) + 1) * 1000;
    const atMs = Math.max(tsMs, floorMs);
    // Nearly all of a list changed at the same time: one stamp serves them.
    if (readBigEndian(stamp) !== atMs) stamp = bigEndian(atMs, 6);
    put(stateKeys.history(hashed, height), stamp);
    put(stateKeys.lastChange(hashed), stamp);
  }
}
