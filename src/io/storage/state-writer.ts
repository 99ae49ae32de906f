import { parentPort, workerData } from "node:worker_threads";
import { type EntryBatch, openDatabase, putEntry } from "./state-database.ts";

/**
 * What a thread of its own runs: it takes the parts of one batch, and where the last one (`undefined`) has come, writes
 * them in one transaction, waits until it is durable, and ends. A fault ends it with the error.
 */
const database = openDatabase(String(workerData));
const batches: EntryBatch[] = [];

parentPort?.on("message", (batch: EntryBatch | undefined) => {
  if (batch !== undefined) batches.push(batch);
  else void finish();
});

async function finish(): Promise<void> {
  database.transactionSync(() => {
    for (const { keys, sizes, bytes } of batches) {
      let from = 0;
      keys.forEach((key, index) => {
        const size = sizes[index];
        const end = from + (size ?? 0);
        putEntry(database, key, size === undefined ? undefined : bytes.subarray(from, end));
        from = end;
      });
    }
  });
  await database.flushed;
  await database.close();
  parentPort?.close();
}
