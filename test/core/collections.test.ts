import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Class fields and module constants that hold a collection from the beginning. */
const collections = [
  /^ {2}(?:readonly |static )*(#?\w+)(?:: [^=\n]*)? = (?:new (?:Map|Set|WeakMap|WeakSet|Overlay)\b|\[\];)/gm,
  /^(?:export )?const (\w+)(?:: [^=\n]*)? = new (?:Map|Set|WeakMap|WeakSet)\b/gm,
];

function inSources(): Set<string> {
  const found = new Set<string>();
  const src = join(root, "src");
  for (const file of readdirSync(src, { recursive: true, encoding: "utf8" })) {
    // The command line lives for one command.
    if (!file.endsWith(".ts") || file.startsWith("cli/")) continue;
    const text = readFileSync(join(src, file), "utf8");
    for (const form of collections)
      for (const [, name] of text.matchAll(form)) found.add(`${file} ${name}`);
  }
  return found;
}

test("docs/reference/collections.md says what bounds each collection in the sources, and of none that is gone", () => {
  const page = readFileSync(join(root, "docs/reference/collections.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([^`]+)` `([^`]+)` \| (.+) \|$/gm)];
  const told = new Set(rows.map(([, file, name]) => `${file} ${name}`));
  assert.equal(told.size, rows.length, "one row each");
  const found = inSources();
  assert.ok(found.size > 120, `only ${found.size} collections were found`);
  assert.deepEqual(
    [...found].filter((each) => !told.has(each)),
    [],
    "no row says what bounds these",
  );
  for (const [, file = "", name = "", bound = ""] of rows) {
    const text = readFileSync(join(root, "src", file), "utf8");
    assert.ok(text.includes(name), `${file} has no ${name} any more`);
    assert.ok(bound.length > 10, `${file} ${name}: what bounds it?`);
  }
});
