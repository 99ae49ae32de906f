import { limits } from "../../core/base/index.ts";
import type { PinnedTrees } from "../store/index.ts";
import type { Refusal } from "./refuse.ts";
import type { TreeHost } from "./tree-host.ts";

/** The tree whose files name heights: `snapshots/NAME` holds a height in decimal digits. */
export const snapshotsTree = "snapshots";

const date = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z?)?$/;

/** What stands after the `@` of a URL's first part. */
type Pin =
  | { readonly kind: "height"; readonly height: number }
  /** POSIX milliseconds. */
  | { readonly kind: "time"; readonly tsMs: number }
  | { readonly kind: "name"; readonly name: string };

/** `@17`, `@2026-11-20T12:00Z`, `@2026-11-20` (its first moment), `@release-3`; `undefined` where it is none of these. */
function readPin(text: string): Pin | undefined {
  if (/^\d{1,15}$/.test(text)) return { kind: "height", height: Number(text) };
  if (date.test(text)) {
    const tsMs = Date.parse(text.includes("T") && !text.endsWith("Z") ? `${text}Z` : text);
    return Number.isNaN(tsMs) ? undefined : { kind: "time", tsMs };
  }
  return /^[A-Za-z][\w.-]{0,62}$/.test(text) ? { kind: "name", name: text } : undefined;
}

/** Splits `/@PIN/rest`; `undefined` for a URL without a pin. */
function pinOf(path: string): { readonly pin: Pin | undefined; readonly rest: string } | undefined {
  const [, text, rest] = /^\/@([^/]+)(\/.*)?$/.exec(path) ?? [];
  return text === undefined ? undefined : { pin: readPin(text), rest: rest ?? "/" };
}

/** The newest height at or before a time, among `1…newest`; 0 if all are later. `at` gives a height's order time. */
export function heightAt(tsMs: number, newest: number, at: (height: number) => number): number {
  let [low, high] = [0, newest];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (at(middle) <= tsMs) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The height that a name stands for in the newest state; `undefined` where nobody gave that name. */
async function namedHeight(
  host: TreeHost,
  newest: PinnedTrees,
  name: string,
): Promise<number | undefined> {
  const entry = host.archive.entry(newest, snapshotsTree, [name]);
  if (entry?.kind !== "file" || entry.size > limits.nameBytesMax) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of host.blobs.stream(entry.digest, 0, entry.size)) pieces.push(piece);
  const text = Buffer.concat(pieces).toString().trim();
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** All trees as a URL's pin names them, and what comes after it. */
interface PinnedState {
  readonly record: PinnedTrees;
  readonly rest: string;
  /** The pin will never name another height. */
  readonly isForEver: boolean;
}

/** The state that a URL names with `/@…`; `undefined` for one that asks for the newest. */
export async function pinnedState(
  host: TreeHost,
  path: string,
): Promise<PinnedState | Refusal | undefined> {
  const pinned = pinOf(path);
  if (pinned === undefined) return undefined;
  const { pin, rest } = pinned;
  const found = pin === undefined ? undefined : await heightOf(host, pin);
  if (found === undefined || found === 0)
    return {
      status: 404,
      code: "NO_SUCH_HEIGHT",
      message: "no height has that number, time or name",
    };
  if (found > host.servedHeight)
    return {
      status: 404,
      code: "NOT_YET",
      message: `height ${found} is not served here; the newest is ${host.servedHeight}`,
    };
  await host.pin?.(found);
  const record = host.archive.height(found);
  if (record === undefined)
    return { status: 404, code: "NO_SUCH_HEIGHT", message: `no height ${found}` };
  const isPast = pin?.kind === "time" && found < host.servedHeight;
  return { record, rest, isForEver: pin?.kind === "height" || isPast };
}

async function heightOf(host: TreeHost, pin: Pin): Promise<number | undefined> {
  if (pin.kind === "height") return pin.height;
  if (pin.kind === "time") return host.heightAt(pin.tsMs);
  const newest = host.archive.height(host.servedHeight);
  return newest && namedHeight(host, newest, pin.name);
}
