import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const workerFile = fileURLToPath(new URL("./worker.js", import.meta.url));

/** Jobs of a thread before another one takes its place: what a thread once took is given back when it ends. */
const jobsOfThread = 200;

/** Has jobs done in as many threads as there are cores (`worker.ts`), until `take` has no more. */
export async function inThreads<Job, Result>(
  take: () => Job | undefined,
  onResult: (result: Result) => void,
): Promise<void> {
  const one = async (): Promise<void> => {
    while (await inThread(take, onResult));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, one));
}

/** False when there are no more jobs. */
async function inThread<Job, Result>(
  take: () => Job | undefined,
  onResult: (result: Result) => void,
): Promise<boolean> {
  const worker = new Worker(workerFile);
  try {
    for (let i = 0; i < jobsOfThread; i++) {
      const job = take();
      if (job === undefined) return false;
      worker.postMessage(job);
      const [result] = (await once(worker, "message")) as [Result];
      onResult(result);
    }
    return true;
  } finally {
    await worker.terminate();
  }
}
