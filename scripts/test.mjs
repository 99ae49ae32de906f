// Runs the checks (`check`: about a minute) or everything (`all`: as CI does), and prints one closing line.
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules", ".bin", name);
const work = mkdtempSync(join(tmpdir(), "smalti-test-"));
/** No file of tests takes half as long; one that hangs is ended, and fails. */
const fileLimitMs = 20 * 60_000;
const totals = { pass: 0, fail: 0 };

/** Runs commands beside one another, and says of each what it said. */
async function steps(...all) {
  const run = promisify(execFile);
  const ran = all.map(({ command, args }) =>
    run(command, args, { cwd: root, maxBuffer: 1 << 26 }).then(
      ({ stdout, stderr }) => ({ isGood: true, said: stdout + stderr }),
      ({ stdout = "", stderr = "", message }) => ({
        isGood: false,
        said: `${stdout}${stderr}\n${message}\n`,
      }),
    ),
  );
  for (const [i, { title }] of all.entries()) {
    const { isGood, said } = await ran[i];
    console.log(`\n── ${title}\n${said.trim()}`);
    if (isGood) totals.pass++;
    else totals.fail++;
  }
}

/** Test files that stand in the sources: what an older build left in dist is not run. */
function testFiles(directory) {
  const found = [];
  for (const name of readdirSync(join(root, directory)).sort()) {
    const path = join(directory, name);
    if (statSync(join(root, path)).isDirectory()) found.push(...testFiles(path));
    else if (name.endsWith(".test.ts")) found.push(join("dist", path.replace(/\.ts$/, ".js")));
  }
  return found;
}

function suite(title, files, concurrency) {
  console.log(`\n── ${title}`);
  const tap = join(work, "tap");
  const reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
  reporters.push("--test-reporter=tap", `--test-reporter-destination=${tap}`);
  const limits = [`--test-concurrency=${concurrency}`, `--test-timeout=${fileLimitMs}`];
  // Properties draw the same cases at each run: see there.
  const seeds = ["--import", "./dist/test/support/same-seeds.js"];
  const args = [...seeds, "--test", ...limits, ...reporters, ...files];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  const report = readFileSync(tap, "utf8");
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)`, "m").exec(report)?.[1] ?? 0);
  totals.pass += count("pass");
  totals.fail += Math.max(count("fail") + count("cancelled"), status === 0 ? 0 : 1);
}

const isAll = process.argv[2] === "all";
await steps(
  { title: "lint and format (biome)", command: bin("biome"), args: ["check", "."] },
  {
    title: "the table of edges (dependency-cruiser)",
    command: bin("depcruise"),
    args: ["--config", ".dependency-cruiser.mjs", "src", "sim", "testing", "test", "bench"],
  },
  { title: "no dead exports, no undeclared packages (knip)", command: bin("knip"), args: [] },
);
if (isAll)
  await steps(
    {
      title: "the package as others see it (publint, are-the-types-wrong, size-limit)",
      command: "npm",
      args: ["run", "--silent", "package"],
    },
    {
      title: "the library's reference says what everything is (typedoc)",
      command: bin("typedoc"),
      args: ["--emit", "none"],
    },
  );
/** Tests that kill hosts, fill and damage their disks, or look at the clock: not beside many others. */
const killing = /\/(disk-full|failpoints|kill|lag|power-cut|wiped)\.test\.js$/;
const system = testFiles("test/system");
/** The longest first: so nothing long begins when all else has ended. */
const long = [
  "clients",
  "bench",
  "damage",
  "odd-trees",
  "gc",
  "opinion",
  "file-service",
  "failover",
  "lag",
  "failpoints",
  "kill",
  "wiped",
];
const rankOf = (file) => long.findIndex((name) => file.endsWith(`/${name}.test.js`));
const longFirst = (files) =>
  files.toSorted((a, b) => (rankOf(a) + 1 || 99) - (rankOf(b) + 1 || 99));
const unit = ["src", "test/core", "test/io"].flatMap(testFiles);
suite("unit tests, properties, figures", unit, 2);
if (isAll) {
  suite("a simulated world", testFiles("test/sim"), 2);
  const together = system.filter((file) => !killing.test(file));
  suite(
    "real processes, sockets and disks; real, unmodified clients",
    longFirst([...testFiles("test/clients"), ...together]),
    4,
  );
  suite(
    "real processes that die, lose and lag",
    longFirst(system.filter((file) => killing.test(file))),
    3,
  );
}
rmSync(work, { recursive: true, force: true });
console.log(`\n${totals.pass} passed, ${totals.fail} failed`);
process.exit(totals.fail === 0 ? 0 : 1);
