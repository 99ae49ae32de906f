import { createHash } from "node:crypto";
import { realpathSync, type Stats } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDigest } from "../../core/base/index.ts";
import type { Leaf } from "../../core/mirror/index.ts";

/** size, mtime, ctime, inode, digest, and of large files that of the chunks; times in milliseconds with their fraction. */
type Row = readonly [number, number, number, number, string, string?];

/** What a file holds, as its leaf says. */
type Content = Pick<Extract<Leaf, { kind: "file" }>, "digest" | "chunks">;

/** Clocks of file systems are coarse: a file that changed this long before the cache was written is read again. */
const settledMs = 2000;
const version = 2;

/**
 * What the files of a directory were when they were last read, so that only changed ones are read again: by size,
 * both times and inode, as `git` and `rsync` do. Only for publishing one's own files: verifying reads every byte.
 */
export class ScanCache {
  readonly #file: string;
  readonly #known: ReadonlyMap<string, Row>;
  readonly #writtenMs: number;
  readonly #seen = new Map<string, Row>();
  #hasNews = false;

  private constructor(
    file: string,
    from: { readonly known: ReadonlyMap<string, Row>; readonly writtenMs: number },
  ) {
    this.#file = file;
    this.#known = from.known;
    this.#writtenMs = from.writtenMs;
  }

  /** The cache of `directory`, kept in `caches`; one that is missing, damaged or of another version is empty. */
  static async open(caches: string, directory: string): Promise<ScanCache> {
    const name = createHash("sha256").update(realpathSync(directory)).digest("hex").slice(0, 32);
    const file = join(caches, `scan-${name}.json`);
    return new ScanCache(file, await readRows(file));
  }

  /** What a file holds that is as it was; `undefined` for one that must be read. */
  contentOf(path: string, stat: Stats): Content | undefined {
    const row = this.#known.get(path);
    if (row === undefined) return undefined;
    const [size, mtimeMs, ctimeMs, inode, digest, chunks] = row;
    const isSame =
      size === stat.size &&
      mtimeMs === stat.mtimeMs &&
      ctimeMs === stat.ctimeMs &&
      inode === stat.ino;
    const isSettled = Math.max(mtimeMs, ctimeMs) + settledMs < this.#writtenMs;
    if (!isSame || !isSettled || !isDigest(digest)) return undefined;
    this.#seen.set(path, row);
    return isDigest(chunks) ? { digest, chunks } : { digest };
  }

  /** `stat` is from before the file was read: what changed while it was read is read again next time. */
  note(path: string, stat: Stats, { digest, chunks }: Content): void {
    const row = [stat.size, stat.mtimeMs, stat.ctimeMs, stat.ino, digest] as const;
    this.#seen.set(path, chunks === undefined ? row : [...row, chunks]);
    this.#hasNews = true;
  }

  async save(): Promise<void> {
    if (!this.#hasNews && this.#seen.size === this.#known.size) return;
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
    const files = Object.fromEntries(this.#seen);
    const text = JSON.stringify({ version, writtenMs: Date.now(), files });
    // Not synced: what a power cut takes is read again.
    const temporary = `${this.#file}.${process.pid}.tmp`;
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, this.#file);
  }
}

async function readRows(
  file: string,
): Promise<{ readonly known: ReadonlyMap<string, Row>; readonly writtenMs: number }> {
  try {
    const saved = JSON.parse(await readFile(file, "utf8")) as {
      version?: unknown;
      writtenMs?: unknown;
      files?: unknown;
    };
    if (saved.version === version && typeof saved.writtenMs === "number")
      return {
        known: new Map(Object.entries(saved.files as Record<string, Row>)),
        writtenMs: saved.writtenMs,
      };
  } catch {
    // What is not there, or not whole, says nothing.
  }
  return { known: new Map(), writtenMs: 0 };
}
