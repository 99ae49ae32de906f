// A long campaign of simulated seeds: npm run sim:campaign -- --hours H [--seed FIRST] [--seeds COUNT]
import { parseArgs } from "node:util";
import {
  campaign,
  commandOf,
  neverReached,
  planOf,
  runPlan,
  seedsFrom,
  shrink,
} from "../dist/sim/index.js";

const { values } = parseArgs({
  options: {
    hours: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    seeds: { type: "string" },
  },
});
const [firstSeed, hours] = [Number(values.seed), Number(values.hours)];
console.log(`seeds from ${firstSeed} on, for ${hours} h`);
let toldMs = performance.now();
const result = await campaign({
  jobs: seedsFrom(firstSeed, values.seeds === undefined ? undefined : Number(values.seeds)),
  forMs: hours * 3_600_000,
  onSeed: (seed, done) => {
    if (seed.failure !== undefined)
      console.log(
        `FAILED seed ${seed.seed}: ${seed.plan}\n  ${seed.failure}\n  repeat: ${commandOf(seed, seed.options)}`,
      );
    if (performance.now() - toldMs < 30_000) return;
    toldMs = performance.now();
    console.log(`${done} seeds`);
  },
});
const rows = (counts) =>
  [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `  ${String(count).padStart(6)}  ${name}`)
    .join("\n");
console.log(
  `\nstates reached (seeds):\n${rows(result.reached)}\n\ncheats (seeds):\n${rows(result.misdeeds)}`,
);
for (const failed of result.failures.slice(0, 5)) {
  const again = await runPlan(planOf(failed.seed, failed.options));
  const smaller = await shrink(failed.seed, failed.options, again);
  console.log(
    `\nsmallest form of seed ${failed.seed}: ${commandOf(failed, smaller.options)}\n  ${smaller.outcome.failure}`,
  );
}
const hoursText = (result.simulatedS / 3600).toFixed(2);
console.log(
  `\n${result.seeds} seeds, ${hoursText} simulated hours in ${(result.wallS / 60).toFixed(1)} min, ${result.failures.length} failed`,
);
const missed = neverReached(result.reached, result.seeds);
for (const state of missed) console.log(`too rare: ${state}`);
process.exit(result.failures.length + missed.length === 0 ? 0 : 1);
