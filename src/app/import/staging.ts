import type { Stats } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { parsePath } from "../../core/mirror/index.ts";
import { SourceError } from "./source.ts";

/** What a server said of a file when it was fetched: as long as it says the same, the file is the same. */
export interface Validator {
  readonly etag?: string | undefined;
  /** The `Last-Modified` field as it was written. */
  readonly modified?: string | undefined;
  readonly size: number;
}

/** A validator, and the very file that it is of: an import that was broken off may have put another one there. */
interface Kept extends Validator {
  readonly file: string;
}

const kept = v.object({
  etag: v.optional(v.string()),
  modified: v.optional(v.string()),
  size: v.number(),
  file: v.string(),
});
const validatorsFile = v.record(v.string(), kept);

const identityOf = ({ ino, size, mtimeMs, ctimeMs }: Stats): string =>
  [ino, size, mtimeMs, ctimeMs].join(" ");

/**
 * Where an import collects what it brings, kept between its runs: content below {@link tree}, and beside it, where no name
 * of the source can come, unfinished files and what servers said of the finished ones. Paths of the source are checked
 * before anything is made of them, and may change their kind from run to run.
 */
export class Staging {
  readonly #directory: string;
  readonly #validators: Map<string, Kept>;
  readonly #kept = new Set<string>();
  #parts = 0;

  private constructor(directory: string, validators: Map<string, Kept>) {
    this.#directory = directory;
    this.#validators = validators;
  }

  static async open(directory: string): Promise<Staging> {
    await rm(join(directory, "unfinished"), { recursive: true, force: true });
    await mkdir(join(directory, "unfinished"), { recursive: true });
    await mkdir(join(directory, "tree"), { recursive: true });
    return new Staging(directory, await readValidators(join(directory, "validators.json")));
  }

  /** The directory to publish. */
  get tree(): string {
    return join(this.#directory, "tree");
  }

  /** Where a path of the source stands, or will. Throws {@link SourceError} for what cannot be a path. */
  file(path: string): string {
    const names = parsePath(path);
    if (!names.ok)
      throw new SourceError(`the source names a path that cannot be one: ${names.error.detail}`);
    return join(this.tree, path);
  }

  /** Whether the source has the path now. */
  has(path: string): boolean {
    return this.#kept.has(path);
  }

  /** The source has this path, and it is here. */
  keep(path: string): void {
    this.#kept.add(path);
  }

  /** What the server said of the file that is here; `undefined` if none is, or if it is not the one of then. */
  async validatorOf(path: string): Promise<Validator | undefined> {
    const known = this.#validators.get(path);
    const found = await lstat(this.file(path)).catch(() => undefined);
    return found?.isFile() === true && identityOf(found) === known?.file ? known : undefined;
  }

  /** Puts what `write` writes to the file that it is given at the path, whole or not at all. */
  async place(
    path: string,
    write: (part: string) => Promise<Validator | undefined>,
  ): Promise<void> {
    const file = this.file(path);
    const part = join(this.#directory, "unfinished", String(this.#parts++));
    this.#validators.delete(path);
    try {
      const known = await write(part);
      await this.#makeWay(path);
      await rename(part, file);
      if (known !== undefined)
        this.#validators.set(path, { ...known, file: identityOf(await lstat(file)) });
    } finally {
      await rm(part, { force: true });
    }
    this.keep(path);
  }

  /** Text of the import's own making. */
  placeText(path: string, text: string): Promise<void> {
    return this.place(path, async (part) => {
      const handle = await open(part, "wx");
      await handle.writeFile(text).finally(() => handle.close());
      return undefined;
    });
  }

  remove(path: string): Promise<void> {
    this.#validators.delete(path);
    this.#kept.delete(path);
    return rm(this.file(path), { force: true, recursive: true });
  }

  /** What was of another kind: a file where a directory is needed goes, and a directory where a file is. */
  async #makeWay(path: string): Promise<void> {
    const names = path.split("/");
    for (let depth = 1; depth < names.length; depth++) {
      const above = join(this.tree, ...names.slice(0, depth));
      const found = await lstat(above).catch(() => undefined);
      if (found !== undefined && !found.isDirectory()) await rm(above);
    }
    await mkdir(dirname(this.file(path)), { recursive: true });
    const found = await lstat(this.file(path)).catch(() => undefined);
    if (found?.isDirectory() === true) await rm(this.file(path), { recursive: true });
  }

  /** Removes what the source has no more, and remembers what servers said. */
  async finish(): Promise<string> {
    await prune(this.tree, this.#kept);
    const known = [...this.#validators].filter(([path]) => this.#kept.has(path));
    const part = join(this.#directory, "unfinished", "validators");
    const handle = await open(part, "w");
    await handle.writeFile(JSON.stringify(Object.fromEntries(known))).finally(() => handle.close());
    await rename(part, join(this.#directory, "validators.json"));
    return this.tree;
  }
}

/** What cannot be read is forgotten: the files are fetched again. */
async function readValidators(file: string): Promise<Map<string, Kept>> {
  const text = await readFile(file, "utf8").catch(() => "{}");
  try {
    return new Map(Object.entries(v.parse(validatorsFile, JSON.parse(text))));
  } catch {
    return new Map();
  }
}

/** Removes from a directory all but the files that are kept, and the directories that are empty then. */
export async function prune(
  directory: string,
  kept: ReadonlySet<string>,
  below = "",
): Promise<void> {
  for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      await prune(directory, kept, path);
      await rmdir(join(directory, path)).catch(() => undefined);
    } else if (!kept.has(path)) await rm(join(directory, path), { force: true });
  }
}
