import { dag } from "../../src/core/dag/index.ts";
import { sequencer } from "../support/sequencer.ts";
import { conformance } from "./consensus/conformance.ts";

const four = { n: 4, f: 1, c: 0, k: 0 };

for (const [rule, faults] of [
  ["three", four],
  ["two", { ...four, n: 6 }],
  ["dual", { ...four, n: 7, c: 1, k: 1 }],
] as const) {
  const parameters = { rule, leadersPerRound: 2 };
  conformance({ algorithm: dag, parameters, faults }, { isCrashSafe: true });
}
conformance({ algorithm: sequencer, parameters: {}, faults: four }, { isCrashSafe: false });
