import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const main = fileURLToPath(new URL("../../bench/main.js", import.meta.url));
const run = promisify(execFile);

type Row = Readonly<Record<string, unknown>>;

/** The same measurements as `npm run bench`, so small that only their working is shown, not their figures. */
test("every benchmark runs, and shows that the work was done", { timeout: 240_000 }, async () => {
  const { stdout } = await run(process.execPath, [main, "--small", "--json"], {
    maxBuffer: 1 << 24,
  });
  const results = JSON.parse(stdout) as Readonly<Record<string, readonly Row[]>>;
  assert.deepEqual(Object.keys(results), [
    "broadcast",
    "mirror",
    "serve",
    "light",
    "trees",
    "start",
    "large",
    "followers",
    "failing",
    "growth",
  ]);
  for (const [name, rows] of Object.entries(results)) {
    assert.ok(rows.length > 0, name);
    for (const [i, row] of rows.entries()) {
      for (const [column, value] of Object.entries(row))
        if (typeof value === "number")
          assert.ok(Number.isFinite(value) && value >= 0, `${name}[${i}].${column} is ${value}`);
      if ("workHash" in row) assert.match(String(row["workHash"]), /^[0-9a-f]{16}$/, name);
    }
  }
  const { broadcast = [], mirror = [], serve = [], start = [] } = results;
  const { followers = [], growth = [] } = results;
  assert.ok(
    followers.every((row) => Number(row["answers"]) > 0),
    "the followers were told",
  );
  assert.equal(growth.at(-1)?.["heights"], 10);
  for (const { messagesPerS } of broadcast) assert.ok(Number(messagesPerS) > 0);
  const movedMB = mirror.map((row) => Number(row["movedMB"]));
  assert.equal(movedMB[1], 0, "nothing changed, nothing moved");
  assert.ok((movedMB[0] ?? 0) >= 1.6, "every host fetched all of it");
  assert.ok((movedMB.at(-1) ?? 9) < 1, "of a large file only what changed was moved");
  const contents = serve.map((row) => row["workHash"]);
  assert.deepEqual(new Set(contents).size, 1, "all servers gave the same bytes");
  assert.ok(
    start.every((row) => Number(row["records"]) >= 5000),
    "the records were there again",
  );
});
