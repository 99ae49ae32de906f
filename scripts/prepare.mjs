// Makes a fresh clone runnable: installs the locked dependencies when they changed, then builds.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = `${root}node_modules/.smalti-lock`;
const lock = createHash("sha256")
  .update(readFileSync(`${root}package-lock.json`))
  .digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  console.error("smalti: installing the locked dependencies…");
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  execFileSync("npm", ["ci", ...quiet], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(stamp, lock);
}
if (!existsSync(`${root}dist/smalti/main.js`)) console.error("smalti: building…");
const steps = [[`${root}node_modules/typescript/bin/tsc`, "-b"], [`${root}scripts/bundle.mjs`]];
for (const step of steps) execFileSync(process.execPath, step, { cwd: root, stdio: "inherit" });
