import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { minVersion, satisfies } from "semver";
import * as v from "valibot";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const withEngines = v.object({
  version: v.optional(v.string()),
  engines: v.optional(v.union([v.record(v.string(), v.string()), v.array(v.string())])),
});
const lockFile = v.object({ packages: v.record(v.string(), withEngines) });

describe("installing", () => {
  test("the lock is whole: npm takes it as it is", () => {
    const work = mkdtempSync(join(tmpdir(), "smalti-lock-"));
    try {
      for (const name of ["package.json", "package-lock.json"])
        copyFileSync(join(root, name), join(work, name));
      const args = ["ci", "--dry-run", "--ignore-scripts", "--no-audit", "--no-fund", "--offline"];
      execFileSync("npm", args, { cwd: work, stdio: ["ignore", "ignore", "pipe"] });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });

  test("every dependency runs on the oldest Node that we promise, and on the lines after it", () => {
    const read = (name: string): unknown => JSON.parse(readFileSync(join(root, name), "utf8"));
    const { packages } = v.parse(lockFile, read("package-lock.json"));
    const ours = v.parse(withEngines, read("package.json")).engines;
    assert.ok(ours !== undefined && !Array.isArray(ours));
    const oldest = minVersion(ours["node"] ?? "");
    assert.ok(oldest !== null);
    const wrong = Object.entries(packages).flatMap(([path, { version, engines }]) => {
      const range = Array.isArray(engines) ? undefined : engines?.["node"];
      if (range === undefined) return [];
      const missed = [oldest, "22.13.0", "24.0.0"].filter((line) => !satisfies(line, range));
      return missed.length === 0 ? [] : [`${path} ${version} needs ${range}`];
    });
    assert.deepEqual(wrong, []);
  });
});
