import { stripVTControlCharacters } from "node:util";
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import pc from "picocolors";
import { unseen } from "../core/base/index.ts";

export type Format = "table" | "json";

/** What the process ends with; stable (docs/reference/cli.md). */
export const exitCodes = {
  ok: 0,
  error: 1,
  usage: 2,
  verification: 3,
  stale: 4,
  noQuorum: 5,
  misbehaviour: 6,
  incomplete: 7,
  storage: 8,
  conflict: 9,
} as const;

const byCode: Readonly<Record<string, number>> = {
  VERIFICATION_FAILED: exitCodes.verification,
  WRONG_PROOF: exitCodes.verification,
  MALFORMED_PROOF: exitCodes.verification,
  MALFORMED_NOTE: exitCodes.verification,
  WRONG_ORIGIN: exitCodes.verification,
  BAD_SIGNATURE: exitCodes.verification,
  TREE_DIFFERS: exitCodes.verification,
  INCOMPLETE: exitCodes.incomplete,
  MISBEHAVIOUR: exitCodes.misbehaviour,
  INCONSISTENT: exitCodes.verification,
  INCOMPLETE_PROOF: exitCodes.verification,
  OTHER_BYTES: exitCodes.verification,
  NOT_WITNESSED: exitCodes.verification,
  STALE: exitCodes.stale,
  ROLLED_BACK: exitCodes.stale,
  FORK: exitCodes.misbehaviour,
  NO_QUORUM: exitCodes.noQuorum,
  NO_SERVER: exitCodes.noQuorum,
  BUSY: exitCodes.noQuorum,
  NOT_SIGNING: exitCodes.noQuorum,
  CONFLICT: exitCodes.conflict,
};

/** The exit code for an error, by its stable code. */
export function exitCodeOf(error: unknown): number {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string") return exitCodes.error;
  if (/^(STORAGE_|IDENTITY_IN_USE)/.test(code)) return exitCodes.storage;
  if (/^(CONFIG_|GENESIS_|RULE_|KEY_|NOT_IN_GENESIS|ROLE_MISMATCH|USAGE)/.test(code))
    return exitCodes.usage;
  return byCode[code] ?? exitCodes.error;
}

const escapeSign = String.fromCharCode(27);
/** The colours that we use. Others may pass too, but for those that hide: text in the colour of its ground, or concealed. */
const colour = `${escapeSign}\\[(?:[0-2]|22|3[1-6]|39|90)m`;
const special = new RegExp(`${colour}|${unseen}`, "gu");
const unseenOnly = new RegExp(`(?!\\n)(?:${unseen})`, "gu");

/**
 * Text that may come from others, safe for a terminal: nothing in it moves a cursor, retitles a window or hides. Colours
 * pass where there are any.
 */
export function printable(text: string, hasColours: boolean = pc.isColorSupported): string {
  return text.replace(special, (found) => {
    const isColour = hasColours && found.startsWith(`${escapeSign}[`);
    return isColour || found === "\n" || found === "\t" ? found : "\ufffd";
  });
}

/** JSON that a terminal shows as it is, and that stands for the same value: what is not seen is written as an escape. */
export function printableJson(value: unknown, indent?: number): string {
  return String(JSON.stringify(value, null, indent)).replace(unseenOnly, (found) =>
    Array.from({ length: found.length }, (_, i) => found.charCodeAt(i))
      .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

export function say(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

export function note(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** What happened, for machines: a line of JSON. */
export function sayEvent(event: object): void {
  process.stdout.write(`${printableJson(event)}\n`);
}

/** The same facts for machines, one JSON document. */
export function sayJson(value: unknown): void {
  process.stdout.write(`${printableJson(value, 2)}\n`);
}

/** Rows of one table at most: to lay out twice as many takes four times as long. */
const rowsAtOnce = 200;

export function sayTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const cells = rows.map((row) => row.map((cell) => printable(cell).replaceAll("\n", " ")));
  // Tables below one another look like one where their columns are as wide.
  const widths = head.map((title, i) =>
    cells.reduce((most, row) => Math.max(most, columns(row[i] ?? "")), title.length),
  );
  // The last one ends where it ends.
  const colWidths = widths.slice(0, -1).map((width) => width + 2);
  const layout = rows.length > rowsAtOnce ? { colWidths } : {};
  for (let i = 0; i === 0 || i < cells.length; i += rowsAtOnce)
    sayRows(i === 0 ? head : [], cells.slice(i, i + rowsAtOnce), layout);
}

/** Columns that a text takes at most: a sign beyond Latin may take two. */
function columns(text: string): number {
  return stripVTControlCharacters(text).replaceAll(/[^\0-\u024f]/gu, "  ").length;
}

function sayRows(
  head: readonly string[],
  rows: readonly string[][],
  layout: { readonly colWidths?: number[] },
): void {
  const table = new Table({
    ...layout,
    head: head.map((cell) => pc.bold(cell)),
    style: { head: [], border: [], compact: true },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      mid: "",
      "mid-mid": "",
      right: "",
      "right-mid": "",
      middle: "  ",
    },
  });
  for (const row of rows) table.push(row);
  say(table.toString());
}

/** A progress bar on a terminal, nothing elsewhere. */
export function progressBar(label: string): {
  update(done: number, total: number): void;
  stop(): void;
} {
  if (!process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    format: `${label} {bar} {percentage}% {value}/{total}`,
    hideCursor: true,
    stream: process.stderr,
    clearOnComplete: true,
  });
  let isStarted = false;
  return {
    update: (done, total) => {
      if (!isStarted) bar.start(total, done);
      isStarted = true;
      bar.setTotal(total);
      bar.update(done);
    },
    stop: () => {
      if (isStarted) bar.stop();
    },
  };
}

export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit] ?? ""}`;
}
