import { availableParallelism } from "node:os";
import type { Tinypool } from "tinypool";
import { type HashedFile, hashFile } from "./hash-file.ts";

/** Below this a file is hashed before a thread has begun. */
const worthThreadsBytes = 16 * 1024 * 1024;

/** Hashes files in as many threads as there are cores; there are none until a file is worth them. */
export class HashPool {
  #pool: Promise<Tinypool> | undefined;

  hash(file: string, bytes: number): Promise<HashedFile> {
    return bytes < worthThreadsBytes ? hashFile(file) : this.#inThread(file);
  }

  async #inThread(file: string): Promise<HashedFile> {
    this.#pool ??= openPool();
    return (await this.#pool).run(file, { name: hashFile.name });
  }

  async close(): Promise<void> {
    await (await this.#pool)?.destroy();
  }
}

async function openPool(): Promise<Tinypool> {
  // Only now: most commands hash nothing large.
  const { Tinypool } = await import("tinypool");
  const filename = new URL("./hash-file.js", import.meta.url).href;
  return new Tinypool({
    filename,
    runtime: "worker_threads",
    minThreads: 1,
    maxThreads: availableParallelism(),
  });
}
