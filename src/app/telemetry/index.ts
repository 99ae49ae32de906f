export { type Log, openLog } from "./log.ts";
export { createMetrics, type Metrics } from "./metrics.ts";
