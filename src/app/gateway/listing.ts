import { unseen } from "../../core/base/index.ts";
import type { NamedEntry } from "../../core/mirror/index.ts";

const unseenOnly = new RegExp(`(?![\\n\\t])(?:${unseen})`, "gu");

/** Text that may come from others, as text of a page and nothing else; what is not seen is shown as U+FFFD. */
export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(unseenOnly, "\ufffd").replace(/[&<>"']/g, (letter) => names[letter] ?? "");
}

function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** When a file came to be as it is, POSIX milliseconds, if it is known. */
type ChangedMs = (name: string) => number | undefined;

/** `2026-11-30 12:00`, UTC. */
function dateText(ms: number | undefined): string {
  return ms === undefined ? "" : new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

function row(item: NamedEntry, changedMs: ChangedMs): string {
  const { name, entry } = item;
  const slash = entry.kind === "directory" ? "/" : "";
  const link = `<a href="${encodeURIComponent(name)}${slash}">${escapeHtml(name)}${slash}</a>`;
  switch (entry.kind) {
    case "directory":
      return `<tr><td>${link}</td><td class="n">—</td><td></td><td></td></tr>`;
    case "link":
      return `<tr><td>${link} → ${escapeHtml(entry.target)}</td><td class="n">link</td><td></td><td></td></tr>`;
    case "file": {
      const digest = `<code title="sha256">${entry.digest.slice(0, 16)}…</code>`;
      const date = `<td class="n">${dateText(changedMs(name))}</td>`;
      return `<tr><td>${link}</td><td class="n">${sizeText(entry.size)}</td>${date}<td>${digest}</td></tr>`;
    }
  }
}

/** A page of ours, from parts that are escaped already. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#223}
table{border-collapse:collapse;width:100%}td,th{padding:.15rem .75rem .15rem 0;border-bottom:1px solid #eee;text-align:left}
.n{text-align:right;white-space:nowrap;color:#445}code{color:#445}footer{color:#445;margin-top:1rem}a{color:#05c}
</style></head><body><h1>${title}</h1>${body}</body></html>
`;
}

/** A directory for people. */
export function directoryPage(page: {
  readonly path: string;
  readonly height: number;
  readonly moniker: string;
  readonly entries: readonly NamedEntry[];
  /** All entries of the directory, and where the next page begins, if there is one. */
  readonly total: number;
  readonly more: string | undefined;
  readonly changedMs?: ChangedMs;
}): string {
  const { changedMs = () => undefined, entries, total, more } = page;
  const shown = entries.length === total ? `${total}` : `${entries.length} of ${total}`;
  const next =
    more === undefined
      ? ""
      : `<p><a rel="next" href="?after=${encodeURIComponent(more)}">more, after ${escapeHtml(more)}</a></p>`;
  const up =
    page.path === "/" ? "" : '<tr><td><a href="../">../</a></td><td></td><td></td><td></td></tr>';
  return htmlPage(
    escapeHtml(page.path),
    `<table>${up}${entries.map((entry) => row(entry, changedMs)).join("\n")}</table>${next}
<footer>${shown} entries · height ${page.height} · served by ${escapeHtml(page.moniker)} ·
<a href="/.smalti/head">proof</a> · verify with <code>smalti get</code></footer>`,
  );
}
