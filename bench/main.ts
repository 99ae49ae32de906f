import { parseArgs } from "node:util";
import { sayTable } from "../src/cli/output.ts";
import { benchBroadcast } from "./broadcast.ts";
import { benchPublish } from "./publish.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    writers: { type: "string", default: "4" },
    ms: { type: "string", default: "8000" },
    files: { type: "string", default: "10000" },
    bytes: { type: "string", default: "8000" },
  },
});
const wanted = positionals.length === 0 ? ["broadcast", "publish"] : positionals;

if (wanted.includes("broadcast")) {
  const rows = await benchBroadcast({ writers: Number(values.writers), runMs: Number(values.ms) });
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
}
if (wanted.includes("publish")) {
  const rows = await benchPublish({ files: Number(values.files), bytes: Number(values.bytes) });
  sayTable(
    ["publish to 4 writers", "published s", "everywhere s", "rsync to 3 s", "ratio", "work"],
    rows.map(({ task, smaltiS, everywhereS, rsyncS, workHash }) => [
      task,
      smaltiS.toFixed(2),
      everywhereS.toFixed(2),
      rsyncS?.toFixed(2) ?? "no rsync here",
      rsyncS === undefined ? "" : (everywhereS / rsyncS).toFixed(2),
      workHash,
    ]),
  );
}
