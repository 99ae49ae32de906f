import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { CodedError } from "../../core/base/index.ts";
import type { EntryBatch } from "./state-database.ts";

type Entry = readonly [string, Uint8Array | undefined];

/** Entries that are handed to the thread at once: a few milliseconds of work. */
const handedAtOnce = 4096;

/** Writes a batch in one transaction, in a thread of its own. Resolves when it is durable; rejects with what went wrong. */
export async function writeInThread(directory: string, entries: Iterable<Entry>): Promise<void> {
  const thread = new Worker(new URL("./state-writer.js", import.meta.url), {
    workerData: directory,
    execArgv: [],
  });
  try {
    await handAll(thread, entries);
  } finally {
    // Where handing failed it would wait for ever; where it has ended this is nothing.
    await thread.terminate();
  }
}

/** Hands a batch over, piece by piece, and waits for the end of the thread. */
async function handAll(thread: Worker, entries: Iterable<Entry>): Promise<void> {
  const ended = endOf(thread);
  // Whoever hands over sees it only after the last piece.
  ended.catch(() => undefined);
  let some: Entry[] = [];
  for (const entry of entries) {
    if (some.push(entry) < handedAtOnce) continue;
    hand(thread, some);
    some = [];
    await setImmediate();
  }
  hand(thread, some);
  thread.postMessage(undefined);
  await ended;
}

function hand(thread: Worker, entries: readonly Entry[]): void {
  const values = entries.map(([, value]) => value);
  const bytes = new Uint8Array(Buffer.concat(values.filter((value) => value !== undefined)));
  const batch: EntryBatch = {
    keys: entries.map(([key]) => key),
    sizes: values.map((value) => value?.length),
    bytes,
  };
  thread.postMessage(batch, [bytes.buffer]);
}

function endOf(thread: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    thread.once("error", reject);
    thread.once("exit", (code) => {
      if (code === 0) resolve();
      else
        reject(
          new CodedError(
            "STORAGE_WRITE_FAILED",
            `the thread that writes it ended with code ${code}`,
          ),
        );
    });
  });
}
