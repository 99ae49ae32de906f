export { type Log, openLog, silent } from "./log.ts";
export { createMetrics, type Metrics } from "./metrics.ts";
