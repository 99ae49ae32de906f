import type { FileHandle } from "node:fs/promises";

/** What goes wrong: the call fails at once, writes only a part, or the sync after it fails. */
export const failures = ["writev", "short-writev", "datasync"] as const;

/** A file handle whose n-th call of one kind fails as a disk does. */
export class FailingHandle {
  readonly #handle: FileHandle;
  readonly #kind: (typeof failures)[number];
  readonly #n: number;
  /** Writes and syncs asked for. */
  calls = 0;
  #seen = 0;

  constructor(
    handle: FileHandle,
    failure: { readonly kind: (typeof failures)[number]; readonly n: number },
  ) {
    this.#handle = handle;
    this.#kind = failure.kind;
    this.#n = failure.n;
  }

  #isDue(kind: string): boolean {
    this.calls++;
    if (!this.#kind.endsWith(kind)) return false;
    this.#seen++;
    return this.#seen === this.#n;
  }

  async #writev(parts: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
    if (!this.#isDue("writev")) return this.#handle.writev([...parts], position);
    if (this.#kind === "writev") throw new Error("ENOSPC: no space left on device, write");
    const whole = Buffer.concat(parts);
    return this.#handle.write(whole, 0, whole.length - 5, position);
  }

  async #datasync(): Promise<void> {
    if (this.#isDue("datasync")) throw new Error("EIO: i/o error, fdatasync");
    return this.#handle.datasync();
  }

  asFileHandle(): FileHandle {
    return new Proxy(this.#handle, {
      get: (target, name) => {
        if (name === "writev") return (parts: Uint8Array[], at: number) => this.#writev(parts, at);
        if (name === "datasync") return () => this.#datasync();
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }
}
