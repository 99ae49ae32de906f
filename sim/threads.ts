import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const workerFile = fileURLToPath(new URL("./worker.js", import.meta.url));

/** Has jobs done in as many threads as there are cores (`worker.ts`), until `take` has no more. */
export async function inThreads<Job, Result>(
  take: () => Job | undefined,
  onResult: (result: Result) => void,
): Promise<void> {
  const threads = Array.from({ length: availableParallelism() }, () => inThread(take, onResult));
  await Promise.all(threads);
}

function inThread<Job, Result>(
  take: () => Job | undefined,
  onResult: (result: Result) => void,
): Promise<void> {
  const worker = new Worker(workerFile);
  const ask = (): void => {
    const job = take();
    if (job === undefined) void worker.terminate();
    else worker.postMessage(job);
  };
  return new Promise((resolve, reject) => {
    worker.on("message", (result: Result) => {
      onResult(result);
      ask();
    });
    worker.once("error", reject);
    worker.once("exit", () => resolve());
    ask();
  });
}
