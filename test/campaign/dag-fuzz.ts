import { parseArgs } from "node:util";
import { mutants, rows, slowMutants, withoutWeakRung } from "../support/dag-rows.ts";
import { disagreement, type Outcome, optionsOf, type Row, trial } from "../support/dag-trial.ts";

/**
 * The long search for two views of one DAG that disagree, or that the dumb twin sees otherwise.
 * npm run fuzz -- dag --trials 100000 --seed 1 [--row "dual n=7"] [--mutants]
 * --mutants searches the wrong rows instead: there, finding something is success.
 */
const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    row: { type: "string", default: "" },
    mutants: { type: "boolean", default: false },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const trials = Number(values.trials);
const firstSeed = Number(values.seed);
const all: readonly Row[] = values.mutants ? [...mutants, withoutWeakRung, ...slowMutants] : rows;

function run(row: Row, seed: number): Outcome {
  if (values.mutants) return disagreement(optionsOf(row, { views: 8 }), seed);
  return trial(
    optionsOf(row, { views: 5, rounds: 7 + (seed % 4), gcRounds: 3 + (seed % 4) }),
    seed,
  );
}

/** One row: a line of result, and the command that repeats a failure. */
function search(row: Row): boolean {
  const startedAt = performance.now();
  let commits = 0;
  for (let i = 0; i < trials; i++) {
    const seed = firstSeed + i;
    const outcome = run(row, seed);
    commits += outcome.commits;
    if (i % 5000 === 4999) say(`  ${row.name}: ${i + 1} trials, ${commits} commits`);
    if (outcome.fault === undefined) continue;
    const flags = values.mutants ? " --mutants" : "";
    say(`✗ ${row.name}: trial ${i + 1}, seed ${seed}: ${outcome.fault}`);
    say(`  repeat: npm run fuzz -- dag --trials 1 --seed ${seed} --row "${row.name}"${flags}`);
    return false;
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  say(`✓ ${row.name}: ${trials} trials, ${commits} commits, ${seconds} s`);
  return true;
}

const chosen = all.filter(({ name }) => name.includes(values.row));
const sound = chosen.map(search);
const good = values.mutants ? sound.every((ok) => !ok) : sound.every((ok) => ok);
say(good ? "as expected" : "NOT as expected");
process.exitCode = good && chosen.length > 0 ? 0 : 1;
