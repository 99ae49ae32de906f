import type { FileHandle } from "node:fs/promises";

/** So much is written before the disk is asked to begin with it. */
const syncEveryBytes = 16 * 1024 * 1024;

/** One write at a time, and one sync beside it so that the disk is at work before the end; what fails stays failed. */
export class WriteBehind {
  readonly #handle: FileHandle;
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #sinceSync = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Returns once the write before it has ended. Throws what an earlier write or sync threw. */
  async write(
    parts: readonly Uint8Array[],
    { at, length }: { readonly at: number; readonly length: number },
  ): Promise<void> {
    await this.#writing;
    this.#check();
    this.#writing = this.#noted(writeOut(this.#handle, parts, { at, length }));
    this.#sinceSync += length;
    if (this.#sinceSync < syncEveryBytes || this.#syncing !== undefined) return;
    this.#sinceSync = 0;
    this.#syncing = this.#noted(this.#handle.datasync()).then(() => {
      this.#syncing = undefined;
    });
  }

  async done(): Promise<void> {
    await this.#writing;
    await this.#syncing;
    this.#check();
  }

  async #noted(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

async function writeOut(
  handle: FileHandle,
  parts: readonly Uint8Array[],
  { at, length }: { readonly at: number; readonly length: number },
): Promise<void> {
  const { bytesWritten } = await handle.writev(parts, at);
  if (bytesWritten === length) return;
  throw Object.assign(new Error(`short write: ${bytesWritten} of ${length} bytes`), {
    code: "EIO",
    syscall: "writev",
  });
}
