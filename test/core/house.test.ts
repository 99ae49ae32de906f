import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** All TypeScript below some directories, as [path, text]. */
function sources(...directories: readonly string[]): (readonly [string, string])[] {
  return directories.flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true })
      .map(String)
      .filter((name) => name.endsWith(".ts"))
      .map(
        (name) =>
          [join(directory, name), readFileSync(join(root, directory, name), "utf8")] as const,
      ),
  );
}

test("the way of an update: ten hops, each a file and a function that are there", () => {
  const page = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const hops = [...page.matchAll(/^\| (\d+) \| `([^`]+)` \| `([^`]+)` \|/gm)];
  assert.deepEqual(
    hops.map(([, nth]) => Number(nth)),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  for (const [, , file = "", name = ""] of hops) {
    const text = readFileSync(join(root, "src", file), "utf8");
    const escaped = name.replace("*", "\\*");
    const isThere = new RegExp(
      `(function\\*? ${escaped}|^  (async )?\\*?${escaped})(<[^>]*>)?\\(`,
      "m",
    );
    assert.match(text, isThere, `${name} in ${file}`);
  }
});

test("every section, pitfall and invariant that the code cites is in docs/protocol", () => {
  const page = (name: string): string => readFileSync(join(root, "docs/protocol", name), "utf8");
  const [dag, pitfalls, invariants] = ["dag.md", "pitfalls.md", "invariants.md"].map(page);
  const cited = { sections: 0, pitfalls: 0, invariants: 0 };
  for (const [path, text] of sources("src", "sim")) {
    for (const [, from, to] of text.matchAll(/(?:dag\.md`?|\() ?§§?(\d+)(?:–(\d+))?/g)) {
      cited.sections++;
      for (const n of [from, to ?? from])
        assert.match(dag ?? "", new RegExp(`^## §${n} `, "m"), path);
    }
    for (const [, list = ""] of text.matchAll(/pitfalls? ((?:\d+[a-f]?(?:, )?)+)/g))
      for (const n of list.split(", ").filter((one) => one !== "")) {
        cited.pitfalls++;
        assert.match(pitfalls ?? "", new RegExp(`^\\| ${n} \\|`, "m"), `pitfall ${n} in ${path}`);
      }
    for (const [, n] of text.matchAll(/"(I\d+)"/g)) {
      cited.invariants++;
      assert.match(
        invariants ?? "",
        new RegExp(`^\\| ([^|]*, )?${n}[ ,|]`, "m"),
        `${n} in ${path}`,
      );
    }
  }
  assert.ok(
    cited.sections > 20 && cited.pitfalls > 10 && cited.invariants > 20,
    JSON.stringify(cited),
  );
});

test("files that docs/protocol and CONTRIBUTING.md name are there", () => {
  for (const page of ["CONTRIBUTING.md", "docs/protocol/dag.md", "docs/protocol/pitfalls.md"]) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, path = ""] of text.matchAll(
      /`((?:core|io|app|sim|test|docs|src)\/[\w./-]+\.(?:ts|md))`/g,
    )) {
      const tried = [path, join("src", path)].map((one) => join(root, one));
      assert.ok(
        tried.some((one) => existsSync(one)),
        `${path} in ${page}`,
      );
    }
  }
});

test("no file of the product or of the simulated world has more than 400 lines", () => {
  for (const [path, text] of sources("src", "sim", "testing"))
    assert.ok(text.split("\n").length <= 401, `${path}: ${text.split("\n").length}`);
});

/** Words that were given up: what is grepped for is found under its standard name (docs/glossary.md). */
const retired = [
  /\bgap[- ]?fillers?\b/i,
  /\bsafe[- ]?return\b/i,
  /\bcatch[- ]?up\b/i,
  /\bmessage acceptance\b(?! algorithm|, opinions)/i,
];

test("retired words are gone from comments, messages and documents", () => {
  const pages = readdirSync(join(root, "docs"), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".md") && !name.startsWith("decisions"))
    .map((name) => [join("docs", name), readFileSync(join(root, "docs", name), "utf8")] as const);
  for (const [path, text] of [...sources("src", "sim", "testing"), ...pages]) {
    if (path.endsWith("glossary.md")) continue;
    for (const word of retired) assert.doesNotMatch(text, word, path);
  }
});

/** The exports of a door, as [name, file]. */
function doorExports(door: string): (readonly [string, string])[] {
  const text = readFileSync(join(root, door), "utf8");
  return [...text.matchAll(/export (?:type )?\{([^}]*)\} from "\.\/([^"]+)"/g)].flatMap(
    ([, names = "", file = ""]) =>
      names
        .split(",")
        .map((name) => name.replace("type ", "").trim())
        .filter((name) => name !== "")
        .map((name) => [name, join(door, "..", file)] as const),
  );
}

test("every export of a room's door says what it is", () => {
  const doors = sources("src").filter(([path]) => /^src\/[^/]+\/[^/]+\/index\.ts$/.test(path));
  assert.ok(doors.length > 25);
  const silent: string[] = [];
  let count = 0;
  for (const [door] of doors)
    for (const [name, file] of doorExports(door)) {
      const lines = readFileSync(join(root, file), "utf8").split("\n");
      const is = new RegExp(`^export .*\\b(function\\*?|const|interface|type|class) ${name}\\b`);
      const at = lines.flatMap((line, i) => (is.test(line) ? [i] : []));
      count++;
      // What another room's door has is said there.
      if (at.length === 0) continue;
      const isSaid = (i: number): boolean => {
        const before = lines.slice(0, i).filter((line) => !line.startsWith("//"));
        return before.at(-1)?.trim().endsWith("*/") === true;
      };
      if (!at.some(isSaid)) silent.push(`${file} ${name}`);
    }
  assert.ok(count > 400, `${count} exports`);
  assert.deepEqual(silent, []);
});

test("every reason for dropping a block, and every pitfall, has a test that names it", () => {
  const effects = readFileSync(join(root, "src/core/dag/effects.ts"), "utf8");
  const [, union = ""] = /export type DropCode =([^;]+);/.exec(effects) ?? [];
  const codes = [...union.matchAll(/"([A-Z_]+)"/g)].map(([, code = ""]) => code);
  assert.equal(codes.length, 6);
  const tests = sources("test/core", "test/io", "test/sim", "test/system");
  const own = "house.test.ts";
  const isNamed = (word: string): boolean =>
    tests.some(([path, text]) => !path.endsWith(own) && text.includes(word));
  for (const code of codes) assert.ok(isNamed(`"${code}"`), code);
  const pitfalls = readFileSync(join(root, "docs/protocol/pitfalls.md"), "utf8");
  const rows = [...pitfalls.matchAll(/^\| (\d+[a-z]?) \|.*\| `(test\/[^`]+)`, "([^"]+)" \|$/gm)];
  assert.equal(rows.length, [...pitfalls.matchAll(/^\| \d/gm)].length, "each row names its test");
  for (const [, n, file = "", name = ""] of rows) {
    const text = readFileSync(join(root, file), "utf8").replaceAll(/\s+/g, " ");
    assert.ok(text.includes(name), `pitfall ${n}: ${name} in ${file}`);
  }
});
