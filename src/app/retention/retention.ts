import { encode, fields, list, natural, read, type Shape } from "../../core/codec/index.ts";
import type { Config } from "../config/index.ts";

/** The heights whose content a host keeps; what all heights are, it knows for ever. */
export interface Kept {
  /** All from here on. */
  readonly from: number;
  /** And these before. */
  readonly more: ReadonlySet<number>;
}

export const keepsAll: Kept = { from: 1, more: new Set() };

/** True if the content of a height is kept here. */
export function isKept({ from, more }: Kept, height: number): boolean {
  return height >= from || more.has(height);
}

/** What the rule is applied to. */
export interface Heights {
  readonly newest: number;
  readonly nowMs: number;
  /** The newest height at or before a time; 0 if there is none. */
  at(tsMs: number): number;
}

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const dayMs = 86_400_000;

/** The first of the heights that are all kept. A height counts as long as it was the newest within the time. */
export function keptFrom({ heights }: Config["retain"], { newest, nowMs, at }: Heights): number {
  const [, count = "", unit] = /^(\d+)([smhd])?$/.exec(heights) ?? [];
  if (count === "") return 1;
  const from =
    unit === undefined
      ? newest - Number(count) + 1
      : at(nowMs - Number(count) * unitMs[unit as keyof typeof unitMs]);
  return Math.max(1, Math.min(from, newest));
}

/** The last height of each of the last days and months, with those that somebody named. */
export function keptHeights(
  retain: Config["retain"],
  heights: Heights,
  named: Iterable<number>,
): Kept {
  const from = keptFrom(retain, heights);
  const more = new Set<number>();
  const add = (height: number): void => {
    if (height >= 1 && height < from) more.add(height);
  };
  for (const height of named) add(height);
  const today = Math.floor(heights.nowMs / dayMs) * dayMs;
  for (let day = 0; day < retain.daily; day++) add(heights.at(today - day * dayMs - 1));
  const now = new Date(heights.nowMs);
  for (let month = 0; month < retain.monthly; month++)
    add(heights.at(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - month) - 1));
  return { from, more };
}

export function encodeKept({ from, more }: Kept): Uint8Array {
  return encode([from, [...more].sort((a, b) => a - b)]);
}

const keptShape: Shape<Kept> = (value, what) => {
  const [from, more] = fields(2)(value, what);
  return {
    from: natural()(from, `${what}.from`),
    more: new Set(list(natural(), 1_000_000)(more, `${what}.more`)),
  };
};

/** Reads what {@link encodeKept} wrote; everything is kept where there is nothing to read. */
export function decodeKept(stored: Uint8Array | undefined): Kept {
  const kept = stored === undefined ? undefined : read(stored, keptShape, "kept heights");
  return kept?.ok === true ? kept.value : keepsAll;
}
