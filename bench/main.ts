import { parseArgs } from "node:util";
import { note, sayJson, sayTable } from "../src/cli/output.ts";
import { benchBroadcast, benchSoak } from "./broadcast.ts";
import { benchFailing } from "./failing.ts";
import { benchFollowers, benchGrowth, benchLarge } from "./hosts.ts";
import { benchLight } from "./light.ts";
import { benchMirror } from "./mirror.ts";
import { benchServe } from "./serve.ts";
import { benchStart, benchTrees } from "./state.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    /** Everything once, so small that it says nothing about speed: for tests. */
    small: { type: "boolean", default: false },
    minutes: { type: "string", default: "10" },
    heights: { type: "string", default: "2000" },
  },
});
const isSmall = values.small;
const MiB = 2 ** 20;

type Row = Readonly<Record<string, string | number | undefined>>;
const benches: Readonly<Record<string, () => Promise<readonly object[]>>> = {
  broadcast: () => benchBroadcast({ runMs: isSmall ? 500 : 6000, isSmall }),
  mirror: () =>
    benchMirror(
      isSmall
        ? { files: 200, large: 2, largeBytes: MiB }
        : { files: 10_000, large: 8, largeBytes: 128 * MiB },
    ),
  serve: () =>
    benchServe(
      isSmall
        ? { files: 50, largeBytes: MiB, seconds: 1 }
        : { files: 1000, largeBytes: 128 * MiB, seconds: 6 },
    ),
  light: () => benchLight(isSmall ? { packages: 5, runs: 1 } : { packages: 300, runs: 3 }),
  trees: () => benchTrees(isSmall ? 10_000 : 1_000_000),
  start: () => benchStart(isSmall ? 5000 : 1_000_000),
  large: () => benchLarge(isSmall ? 500 : 100_000),
  followers: () => benchFollowers(isSmall ? [3] : [0, 100, 300], isSmall ? 2 : 20),
  failing: () => benchFailing(isSmall ? 1 : 9),
  growth: () => benchGrowth(isSmall ? 10 : Number(values.heights), isSmall ? 2 : 24),
  soak: () => benchSoak(Number(values.minutes)),
};
const usual = [
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
];

function text(value: string | number | undefined): string {
  if (value === undefined) return "–";
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return String(value);
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

const results: Record<string, readonly object[]> = {};
for (const name of positionals.length === 0 ? usual : positionals) {
  const bench = benches[name];
  if (bench === undefined)
    throw new Error(`no benchmark ${name}; there are ${Object.keys(benches).join(", ")}`);
  note(`${name} …`);
  const rows = await bench();
  results[name] = rows;
  if (values.json) continue;
  const [first = {}] = rows;
  const heads = Object.keys(first);
  sayTable(
    heads,
    rows.map((row) => heads.map((head) => text((row as Row)[head]))),
  );
}
if (values.json) sayJson(results);
