// Plants bugs one by one in a copy of the build and says what notices: simulated seeds first, then the unit tests.
// npm run test:mutants [-- --only TEXT[,TEXT…]] [--from K] [--seeds N] [--quick]
// (--from: the K-th and later ones; --quick: seeds alone, and no run without a bug)
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mutants } from "../sim/mutants.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    seeds: { type: "string", default: "40" },
    from: { type: "string", default: "1" },
    list: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "smalti-mutants-"));
for (const name of ["dist", "package.json", "sim", "docs", "src", "test"])
  cpSync(join(root, name), join(work, name), { recursive: true });
symlinkSync(join(root, "node_modules"), join(work, "node_modules"));

function plant({ file, find, put }) {
  const path = join(work, "dist/src", file);
  const whole = readFileSync(path, "utf8");
  const places = whole.split(find).length - 1;
  if (places !== 1) throw new Error(`${file}: "${find}" stands there ${places} times`);
  writeFileSync(
    path,
    whole.replace(find, () => put),
  );
  return () => writeFileSync(path, whole);
}

const seedRunner = `
  import { campaign, planOf } from ${JSON.stringify(join(work, "dist/sim/index.js"))};
  let at; let done = 0;
  const jobs = (function* () { for (let i = 0; i < ${Number(values.seeds)} && at === undefined; i++) yield { seed: 5000 + i, options: {} }; })();
  const timer = setTimeout(() => { console.log(JSON.stringify({ at: done + 1, why: "the simulation hangs" })); process.exit(); }, 150_000);
  await campaign({ jobs, onSeed: (r) => { done++; if (r.failure !== undefined && at === undefined) { at = { at: done, seed: r.seed, why: r.failure.split("\\n")[0] }; } } });
  clearTimeout(timer);
  console.log(JSON.stringify(at ?? null));
  process.exit();
`;

const runnerFile = join(work, "seeds.mjs");
writeFileSync(runnerFile, seedRunner);

function bySeeds() {
  const ran = spawnSync(process.execPath, [runnerFile], {
    cwd: work,
    encoding: "utf8",
  });
  if (ran.status !== 0)
    return {
      at: 1,
      why: `the simulation ends: ${ran.stderr.split("\n").find((line) => /Error/.test(line)) ?? ran.stderr.slice(0, 80)}`,
    };
  return JSON.parse(ran.stdout.trim().split("\n").at(-1) ?? "null");
}

function unitFiles(directory) {
  return readdirSync(join(work, directory))
    .filter((name) => name.endsWith(".test.js") && name !== "docs.test.js")
    .map((name) => join(directory, name));
}

/** Tests that are near to a file of the sources, the quickest first: they are tried before the others. */
const near = [
  [
    /acceptance|quorum/,
    [
      "block-validity",
      "order-time",
      "dag-figures",
      "dag-mutants",
      "commit-range",
      "dag-refusals",
      "dag-attacks",
      "dag-order",
    ],
  ],
  [
    /core\/host/,
    ["host-parts", "writer-host", "follower", "catch-up-signing", "execute", "dag-attacks"],
  ],
  [/core\/mirror/, ["execute", "mirror"]],
  [/core\/(codec|crypto|base)/, ["foundation", "mirror"]],
  [/^io|^app/, ["host-store", "guard-file", "record-log", "state-store", "blob-store", "ports"]],
];

/** The first test that goes red, if any does. */
async function byTests(file = "") {
  const all = [...unitFiles("dist/test/core"), ...unitFiles("dist/test/io")];
  const [, names] = near.find(([place]) => place.test(file)) ?? [undefined, []];
  const first = names.flatMap((name) => all.filter((path) => path.endsWith(`/${name}.test.js`)));
  const rest = all.filter((path) => !first.includes(path));
  for (const path of first) {
    const red = await redOf([path]);
    if (red !== undefined) return red;
  }
  return redOf(rest);
}

/** A bug may make a test run for ever: that is red too. */
async function redOf(files) {
  const args = ["--test", "--test-reporter=tap", ...files];
  const stdio = ["ignore", "pipe", "ignore"];
  const child = spawn(process.execPath, args, { cwd: work, stdio, detached: true });
  let red;
  const stop = (verdict) => {
    red ??= verdict;
    process.kill(-child.pid, "SIGKILL");
  };
  const timer = setTimeout(() => stop(`hangs: ${files.at(-1)}`), 150_000);
  for await (const line of createInterface({ input: child.stdout }))
    if (red === undefined && /^\s*not ok/.test(line) && !/\.test\.js/.test(line))
      stop(line.replace(/^\s*not ok \d+ - /, "").slice(0, 90));
  clearTimeout(timer);
  return red;
}

// Without a bug nothing may be noticed, else every verdict below is worthless.
if (!values.list && !values.quick) {
  const found = bySeeds() ?? (await byTests());
  if (found !== undefined && found !== null)
    throw new Error(`without a bug: ${JSON.stringify(found)}`);
  console.log("without a bug: all seeds and tests pass");
}
const wanted = values.only.split(",");
const chosen = mutants
  .slice(Number(values.from) - 1)
  .filter(({ says }) => wanted.some((text) => says.includes(text)));
const rows = [];
for (const [i, mutant] of chosen.entries()) {
  const mends = [plant(mutant)];
  if (mutant.also !== undefined) {
    const [file, find, put] = mutant.also;
    mends.push(plant({ file, find, put }));
  }
  if (!values.list) {
    const seeds = bySeeds();
    const test = seeds === null && !values.quick ? await byTests(mutant.file) : undefined;
    const verdict =
      seeds !== null
        ? `seed ${seeds.at}: ${seeds.why}`
        : test === undefined
          ? "SURVIVES"
          : `test: ${test}`;
    rows.push({ says: mutant.says, file: mutant.file, verdict });
    console.log(`${i + 1}/${chosen.length} ${mutant.says}: ${verdict.slice(0, 140)}`);
  }
  for (const mend of mends.reverse()) mend();
}
rmSync(work, { recursive: true, force: true });
const alive = rows.filter(({ verdict }) => verdict === "SURVIVES");
console.log(
  `\n${rows.length} bugs planted, ${rows.length - alive.length} noticed, ${alive.length} survive`,
);
for (const { says, file } of alive) console.log(`  survives: ${says} (${file})`);
process.exit(alive.length === 0 ? 0 : 1);
