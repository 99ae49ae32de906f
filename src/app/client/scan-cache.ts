import { createHash, randomUUID } from "node:crypto";
import { realpathSync, type Stats } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { compareText, type Digest, isDigest } from "../../core/base/index.ts";
import { type Difference, type Leaf, sameLeaf } from "../../core/mirror/index.ts";
import { rootOfLeaves } from "./local-root.ts";

/**
 * Of a file: size, mtime, ctime, inode, 1 if executable, digest, and of large files that of the chunks; times in
 * milliseconds with their fraction. Of a link its target.
 */
type FileRow = readonly [number, number, number, number, 0 | 1, Digest, Digest?];
type Row = FileRow | readonly [string];

type FileLeaf = Extract<Leaf, { kind: "file" }>;

/** What an earlier run left. */
interface Remembered {
  readonly rows: ReadonlyMap<string, Row>;
  readonly writtenMs: number;
  /** Names these rows, so that a root can say which rows it is the root of. */
  readonly id: string;
}

/** Clocks of file systems are coarse: a file that changed this long before the cache was written is read again. */
const settledMs = 2000;
const version = 3;

/**
 * What a directory was when it was last read, so that only changed files are read again: by size, both times and inode,
 * as `git` and `rsync` do. Only for publishing one's own files: verifying reads every byte.
 */
export class ScanCache {
  readonly #file: string;
  readonly #known: Remembered;
  readonly #root: Digest | undefined;
  readonly #seen = new Map<string, Row>();
  #id: string;
  #hasNews = false;

  private constructor(file: string, known: Remembered, root: Digest | undefined) {
    this.#file = file;
    this.#known = known;
    this.#id = known.id;
    this.#root = root;
  }

  /** The cache of `directory`, kept in `caches`; one that is missing, damaged or of another version is empty. */
  static async open(caches: string, directory: string): Promise<ScanCache> {
    const name = createHash("sha256").update(realpathSync(directory)).digest("hex").slice(0, 32);
    const file = join(caches, `scan-${name}.json`);
    const known = await readRows(file);
    return new ScanCache(file, known, await readRoot(rootFile(file), known.id));
  }

  /** What a file is that is as it was; `undefined` for one that must be read. */
  leafOf(path: string, stat: Stats): FileLeaf | undefined {
    const row = this.#known.rows.get(path);
    if (row === undefined || row.length === 1) return undefined;
    const [size, mtimeMs, ctimeMs, inode] = row;
    const isSame =
      size === stat.size &&
      mtimeMs === stat.mtimeMs &&
      ctimeMs === stat.ctimeMs &&
      inode === stat.ino;
    const isSettled = Math.max(mtimeMs, ctimeMs) + settledMs < this.#known.writtenMs;
    if (!isSame || !isSettled) return undefined;
    this.#seen.set(path, row);
    return fileIn(row);
  }

  /** `stat` is from before the file was read: what changed while it was read is read again next time. */
  noteFile(path: string, stat: Stats, { digest, executable, chunks }: FileLeaf): void {
    const { size, mtimeMs, ctimeMs, ino } = stat;
    const row = [size, mtimeMs, ctimeMs, ino, executable ? 1 : 0, digest] as const;
    this.#seen.set(path, chunks === undefined ? row : [...row, chunks]);
    this.#hasNews = true;
  }

  noteLink(path: string, target: string): void {
    this.#seen.set(path, [target]);
    const [before] = this.#known.rows.get(path) ?? [];
    if (before !== target) this.#hasNews = true;
  }

  /**
   * What differs between a tree and the directory, in path order, if the tree is what the directory was: known without
   * its entries by its `root` alone. `undefined` for any other tree.
   */
  differencesTo(
    root: Digest | undefined,
    local: ReadonlyMap<string, { readonly leaf: Leaf }>,
  ): readonly Difference[] | undefined {
    if (root === undefined || root !== this.#root) return undefined;
    const { rows } = this.#known;
    // Where nothing was read anew, the row is still the same object.
    const found: Difference[] = [];
    for (const path of new Set([...rows.keys(), ...local.keys()])) {
      const [row, after] = [rows.get(path), local.get(path)?.leaf];
      if (row !== undefined && row === this.#seen.get(path)) continue;
      const before = row && leafIn(row);
      const isSame = before !== undefined && after !== undefined && sameLeaf(before, after);
      if (!isSame) found.push({ path, before, after });
    }
    return found.sort((a, b) => compareText(a.path, b.path));
  }

  async save(): Promise<void> {
    if (!this.#hasNews && this.#seen.size === this.#known.rows.size) return;
    this.#id = randomUUID();
    const files = Object.fromEntries(this.#seen);
    await replace(this.#file, { version, id: this.#id, writtenMs: Date.now(), files });
  }

  /**
   * Keeps the root of the directory as it was saved, unless it is known, or a file that grew while it was read is in the
   * leaves and not among the rows; `proven` is the root of a tree that is surely the same. What cannot be kept costs the
   * next run some time.
   */
  async saveRoot(
    local: ReadonlyMap<string, { readonly leaf: Leaf }>,
    proven?: Digest,
  ): Promise<void> {
    const isKnown = this.#root !== undefined && this.#id === this.#known.id;
    if (isKnown || local.size !== this.#seen.size) return;
    const root = proven ?? rootOfLeaves(local);
    if (root === undefined) return;
    await replace(rootFile(this.#file), { of: this.#id, root }).catch(() => undefined);
  }
}

function leafIn(row: Row): Leaf {
  return row.length === 1 ? { kind: "link", target: row[0] } : fileIn(row);
}

function fileIn([size, , , , isExecutable, digest, chunks]: FileRow): FileLeaf {
  const leaf = { kind: "file", digest, size, executable: isExecutable === 1 } as const;
  return chunks === undefined ? leaf : { ...leaf, chunks };
}

function rootFile(file: string): string {
  return file.replace(/\.json$/, ".root.json");
}

/** Not synced: what a power cut takes is read again. */
async function replace(file: string, value: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
  await rename(temporary, file);
}

/** What is not there, or not whole, says nothing. */
async function readSaved(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return { ...(JSON.parse(await readFile(file, "utf8")) as object) };
  } catch {
    return {};
  }
}

const nothing: Remembered = { rows: new Map(), writtenMs: 0, id: "" };

function isRow(row: unknown): row is Row {
  return Array.isArray(row) && (row.length === 1 || isDigest(row[5]));
}

async function readRows(file: string): Promise<Remembered> {
  const saved = await readSaved(file);
  const { id, writtenMs, files } = saved;
  const isOurs =
    saved["version"] === version && typeof id === "string" && typeof writtenMs === "number";
  if (!isOurs || typeof files !== "object" || files === null) return nothing;
  const rows = new Map(Object.entries(files as Record<string, Row>));
  for (const row of rows.values()) if (!isRow(row)) return nothing;
  return { rows, writtenMs, id };
}

async function readRoot(file: string, id: string): Promise<Digest | undefined> {
  const { of, root } = await readSaved(file);
  return id !== "" && of === id && isDigest(root) ? root : undefined;
}
