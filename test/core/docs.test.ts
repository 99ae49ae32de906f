import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { limits } from "../../src/core/base/index.ts";
import { outcomeCodesForDocs } from "../support/outcomes.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

function sources(directory: string): string[] {
  return readdirSync(join(root, directory)).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(join(root, path)).isDirectory()) return sources(path);
    return name.endsWith(".ts") && !name.endsWith(".test.ts")
      ? [readFileSync(join(root, path), "utf8")]
      : [];
  });
}

/** Words in capitals that are not error codes. */
const others = new Set([
  "SMALTI_HOME",
  "SMALTI_GENESIS",
  "SMALTI_STATE",
  "XDG_STATE_HOME",
  "NO_COLOR",
]);
/** Codes of one word, which cannot be told from other words in capitals by their form. */
const single = [
  "CONFLICT",
  "BUSY",
  "STOPPED",
  "INCOMPLETE",
  "USAGE",
  "DUPLICATE",
  "INTERNAL",
  "MALFORMED",
  "EXPIRED",
  "STALE",
  "FORK",
  "INCONSISTENT",
  "UNPROVEN",
  "SOURCE",
];
/** Codes that stand in the documentation as members of a family. */
const families = /^RULE_A\d$/;

test("docs/reference/errors.md names every code that the sources can give, and no other", () => {
  const text = sources("src").join("\n");
  const inSources = new Set(single);
  for (const [, code] of text.matchAll(/"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"/g)) {
    if (code !== undefined && !others.has(code)) inSources.add(code);
  }
  const doc = readFileSync(join(root, "docs/reference/errors.md"), "utf8");
  const inDoc = new Set(
    [...doc.matchAll(/`([A-Z][A-Z0-9_]+)`/g)]
      .map(([, code]) => code ?? "")
      .filter((code) => !families.test(code)),
  );
  assert.deepEqual(
    [...inSources].filter((code) => !inDoc.has(code)),
    [],
    "undocumented",
  );
  assert.deepEqual(
    [...inDoc].filter((code) => !inSources.has(code)),
    [],
    "documented and gone",
  );
  for (const outcome of outcomeCodesForDocs) {
    if (outcome !== "published")
      assert.ok(inDoc.has(outcome.toUpperCase().replaceAll("-", "_")), outcome);
  }
});

const testFiles = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .sort();
const testTexts = new Map(
  testFiles.map((name) => [name, readFileSync(join(root, "test", name), "utf8")]),
);

/** Up to three; that nobody names a limit does not say that nobody attacks it. */
function testsThatName(limit: string): string {
  const named = [...testTexts].filter(([, text]) => new RegExp(`limits\\.${limit}\\b`).test(text));
  return named
    .slice(0, 3)
    .map(([name]) => `\`${name.replace(/^.*\/|(\.test)?\.ts$/g, "")}\``)
    .join(" ");
}

/** The table of limits, from the object and the comments in its source. */
function limitsPage(): string {
  const source = readFileSync(join(root, "src/core/base/limits.ts"), "utf8");
  const comments = new Map<string, string>();
  for (const [, comment, name] of source.matchAll(/\/\*\* (.+?) \*\/\n {2}(\w+):/g)) {
    if (comment !== undefined && name !== undefined) comments.set(name, comment);
  }
  const rows = Object.entries(limits).map(([name, value]) => {
    const comment = comments.get(name);
    assert.ok(comment, `the limit ${name} says what happens when it is reached`);
    return `| \`${name}\` | ${value.toLocaleString("en-US")} | ${comment} | ${testsThatName(name)} |`;
  });
  return `# Limits\n\nEvery bound of the system, from \`src/core/base/limits.ts\` (written by \`UPDATE=1 npm run check\`).\n\n| limit | value | what it bounds, and what happens there | tests that name it |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

test("docs/reference/limits.md is the table of limits", () => {
  const path = join(root, "docs/reference/limits.md");
  const page = limitsPage();
  if (process.env["UPDATE"] === "1") writeFileSync(path, page);
  assert.equal(readFileSync(path, "utf8"), page);
});

/** The table of edges, from the rules that are checked. */
async function edgesTable(): Promise<string> {
  const url = new URL("../../../.dependency-cruiser.mjs", import.meta.url).href;
  const { rooms } = (await import(url)) as { rooms: Record<string, readonly string[]> };
  const short = (room: string): string => `\`${room.replace(/^src\//, "")}\``;
  const rows = Object.entries(rooms).map(([room, may]) => {
    const listed = may.map(short).join(" ");
    return `| ${short(room)} | ${listed === "" ? "nothing" : listed} |`;
  });
  return `| room | may import |\n|---|---|\n${rows.join("\n")}\n`;
}

test("ARCHITECTURE.md shows the table of edges", async () => {
  const path = join(root, "ARCHITECTURE.md");
  const heading = "## Edges\n\n";
  const [before = "", after = ""] = readFileSync(path, "utf8").split(heading);
  const rest = after.slice(after.indexOf("\n## "));
  const page = `${before}${heading}Written by \`UPDATE=1 npm run check\`; a star stands for every room there.\n\n${await edgesTable()}${rest}`;
  if (process.env["UPDATE"] === "1") writeFileSync(path, page);
  assert.equal(readFileSync(path, "utf8"), page);
});

test("docs/reference/wire.md has every message", () => {
  const page = readFileSync(join(root, "docs/reference/wire.md"), "utf8");
  const numbers = ["src/core/dag/messages.ts", "src/core/replica/messages.ts"].flatMap((file) => {
    const [, table = ""] =
      /const codes = \{([^}]+)\}/.exec(readFileSync(join(root, file), "utf8")) ?? [];
    return [...table.matchAll(/: (\d+),/g)].map(([, number]) => Number(number));
  });
  assert.equal(numbers.length, 15);
  assert.equal(new Set(numbers).size, numbers.length, "each number is one message's");
  for (const number of numbers)
    assert.match(page, new RegExp(`\`\\[${number}[,\\]]`), `[${number}`);
});

test("links between the documents lead somewhere", () => {
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
  const walk = (directory: string): void => {
    for (const name of readdirSync(join(root, directory))) {
      const path = join(directory, name);
      if (statSync(join(root, path)).isDirectory()) walk(path);
      else if (name.endsWith(".md")) pages.push(path);
    }
  };
  walk("docs");
  for (const page of pages) {
    for (const [, target] of readFileSync(join(root, page), "utf8").matchAll(
      /\]\(([^)#]+)[^)]*\)/g,
    )) {
      if (target === undefined || /^https?:/.test(target)) continue;
      assert.doesNotThrow(() => statSync(join(root, page, "..", target)), `${page} → ${target}`);
    }
  }
});

test("every test that docs/protocol/liveness.md cites is there, by file and by name", () => {
  const page = readFileSync(join(root, "docs/protocol/liveness.md"), "utf8");
  const cited = [...page.matchAll(/`(test\/[\w/-]+\.test\.ts)`(?:, "([^"]+)")?/g)];
  assert.ok(cited.length >= 15, "it cites tests");
  for (const [, file = "", name] of cited) {
    const source = readFileSync(join(root, file), "utf8");
    if (name !== undefined) assert.ok(source.includes(name), `${file} has a test "${name}"`);
  }
});

test("every error has a code: nothing in the product throws a bare Error", () => {
  const bare = sources("src").flatMap((text) => [...text.matchAll(/new Error\(/g)]);
  // A stand-in for what the system would say of a full disk.
  assert.equal(bare.length, 1);
});
