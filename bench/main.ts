import { sayTable } from "../src/cli/output.ts";
import { benchBroadcast } from "./broadcast.ts";

const runMs = Number(process.env["SMALTI_BENCH_MS"] ?? 8000);
const rows = await benchBroadcast({
  writers: Number(process.env["SMALTI_BENCH_WRITERS"] ?? 4),
  runMs,
});
sayTable(
  [
    "broadcast, 100 B",
    "messages/s",
    "p50 ms",
    "p99 ms",
    "writers' CPU",
    "peak MiB a writer",
    "work",
  ],
  rows.map((row) => [
    row.name,
    String(row.messagesPerS),
    row.p50Ms.toFixed(1),
    row.p99Ms.toFixed(1),
    row.writersCpu.toFixed(2),
    row.peakMiB.toFixed(0),
    row.workHash,
  ]),
);
