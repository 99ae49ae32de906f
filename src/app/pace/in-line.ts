/** Of a publisher's updates, those are brought at once whose change lists have so many bytes together. */
export const broughtBytesMax = 64 * 1024 * 1024;

interface Line {
  size: number;
  readonly waiting: { readonly size: number; readonly go: () => void }[];
}

/**
 * Work that is done for somebody's sake: of each so much goes on at once, or one piece that is larger, and the rest waits in
 * its own line. Nobody waits for what another one left hanging.
 */
export class InLine<Cause> {
  readonly #sizeMax: number;
  /** Of causes for which something goes on. */
  readonly #lines = new Map<Cause, Line>();

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  async run<T>(cause: Cause, size: number, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(cause) ?? { size: 0, waiting: [] };
    this.#lines.set(cause, line);
    if (line.waiting.length > 0 || !this.#fits(line, size))
      await new Promise<void>((go) => {
        line.waiting.push({ size, go });
      });
    else line.size += size;
    try {
      return await work();
    } finally {
      line.size -= size;
      this.#goOn(line);
      if (line.size === 0 && line.waiting.length === 0) this.#lines.delete(cause);
    }
  }

  #fits(line: Line, size: number): boolean {
    return line.size === 0 || line.size + size <= this.#sizeMax;
  }

  #goOn(line: Line): void {
    for (let next = line.waiting[0]; next !== undefined; next = line.waiting[0]) {
      if (!this.#fits(line, next.size)) return;
      line.waiting.shift();
      line.size += next.size;
      next.go();
    }
  }
}
