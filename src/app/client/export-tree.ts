import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Digest, limits } from "../../core/base/index.ts";
import { exportCollisions, type Leaf } from "../../core/mirror/index.ts";
import type { MirrorClient } from "./mirror-client.ts";

/** A tree cannot be written to this directory safely; names the paths and why. Nothing outside it was touched. */
export class ExportError extends Error {
  override readonly name = "ExportError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What an export did. */
export interface ExportResult {
  readonly files: number;
  readonly bytes: number;
  /** Files that were there already with the right content. */
  readonly unchanged: number;
}

type File = Extract<Leaf, { kind: "file" }>;

/**
 * Writes leaves below `directory`: every byte verified before it gets its name, nothing followed out of the
 * directory. Refuses names that would overwrite one another where the file system folds case or normalises Unicode.
 */
export async function exportTree(
  client: MirrorClient,
  leaves: ReadonlyMap<string, Leaf>,
  to: { readonly directory: string; readonly onProgress?: (done: number, total: number) => void },
): Promise<ExportResult> {
  await mkdir(to.directory, { recursive: true });
  const target = new Target(to.directory, partDirectory(leaves.keys()));
  try {
    if (!(await target.tellsApart())) refuseCollisions(leaves.keys());
    return await fillTarget({ client, leaves, target, onProgress: to.onProgress });
  } finally {
    await target.close();
  }
}

/** True for a path below the directory for unfinished files. */
export function isUnfinished(path: string): boolean {
  return /^\.smalti-part_*\//.test(path);
}

/** Where unfinished files stand: a directory of our own that no path of the tree can name. */
function partDirectory(paths: Iterable<string>): string {
  const tops = new Set([...paths].map((path) => path.split("/")[0]));
  let name = ".smalti-part";
  while (tops.has(name)) name += "_";
  return name;
}

async function fillTarget({
  client,
  leaves,
  target,
  onProgress,
}: {
  readonly client: MirrorClient;
  readonly leaves: ReadonlyMap<string, Leaf>;
  readonly target: Target;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}): Promise<ExportResult> {
  const result = { files: 0, bytes: 0, unchanged: 0 };
  const count = (bytes: number): void => {
    result.bytes += bytes;
    onProgress?.(++result.files, leaves.size);
  };
  const wanted = await prepareLeaves(target, leaves, (isUnchanged) => {
    result.unchanged += Number(isUnchanged);
    count(0);
  });
  const byDigest = new Map<Digest, { readonly path: string; readonly file: File }[]>();
  for (const item of wanted) {
    const { digest, size } = item.file;
    if (size <= limits.packedBlobBytesMax)
      byDigest.set(digest, [...(byDigest.get(digest) ?? []), item]);
  }
  for await (const { digest, bytes } of client.smallBlobs([...byDigest.keys()])) {
    for (const { path, file } of byDigest.get(digest) ?? []) {
      await target.write(path, bytes, file.executable);
      count(file.size);
    }
  }
  for (const { path, file } of wanted) {
    if (file.size <= limits.packedBlobBytesMax) continue;
    await target.writeLarge(client, path, file);
    count(file.size);
  }
  return result;
}

/** Makes directories and links, and returns the files whose content must be fetched. */
async function prepareLeaves(
  target: Target,
  leaves: ReadonlyMap<string, Leaf>,
  onDone: (isUnchanged: boolean) => void,
): Promise<{ readonly path: string; readonly file: File }[]> {
  const wanted: { path: string; file: File }[] = [];
  for (const [path, leaf] of leaves) {
    await target.prepare(path);
    if (leaf.kind === "link") {
      await target.link(path, leaf.target);
      onDone(false);
    } else if (await target.has(path, leaf)) onDone(true);
    else wanted.push({ path, file: leaf });
  }
  return wanted;
}

function refuseCollisions(paths: Iterable<string>): void {
  const [first, ...more] = exportCollisions(paths);
  if (first === undefined) return;
  const others = more.length > 0 ? ` (and ${more.length} more such groups)` : "";
  throw new ExportError(
    "NAMES_COLLIDE",
    `these names would be one on this file system, which folds case or Unicode: ${first.map((path) => JSON.stringify(path)).join(", ")}${others}; get them one by one with: smalti cat`,
  );
}

/** The directory that is written to; it never goes through a symbolic link. */
class Target {
  readonly #root: string;
  readonly #parts: string;
  readonly #made = new Set<string>();

  constructor(root: string, parts: string) {
    this.#root = root;
    this.#parts = join(root, parts);
  }

  /** The private directory for unfinished files; whatever else stands there is refused. */
  async #partPath(name: string): Promise<string> {
    const stat = await lstat(this.#parts).catch(() => undefined);
    if (stat === undefined) await mkdir(this.#parts, { mode: 0o700 });
    else if (
      !stat.isDirectory() ||
      (process.getuid !== undefined && stat.uid !== process.getuid())
    ) {
      throw new ExportError("UNSAFE_TARGET", `${this.#parts} is in the way: remove it`);
    }
    return join(this.#parts, name);
  }

  /** Whether the file system keeps names apart that differ in case, in Unicode's forms, or in what is not seen. */
  async tellsApart(): Promise<boolean> {
    const name = `probe-${process.pid}-\u00e9`;
    const probe = await this.#partPath(name);
    const others = [name.toUpperCase(), name.normalize("NFD"), name.replace("b", "b\u200b")].map(
      (other) => join(this.#parts, other),
    );
    await writeFile(probe, "");
    try {
      const found = await Promise.all(others.map((one) => lstat(one).catch(() => undefined)));
      return found.every((one) => one === undefined);
    } finally {
      await rm(probe, { force: true });
    }
  }

  /** What killed runs left of small files goes, and the directory when nothing unfinished is left in it. */
  async close(): Promise<void> {
    for (const name of await readdir(this.#parts).catch(() => [])) {
      const pid = Number(/^small-(\d+)$/.exec(name)?.[1]);
      if (pid > 0 && !isAlive(pid)) await rm(join(this.#parts, name), { force: true });
    }
    await rmdir(this.#parts).catch(() => undefined);
  }

  /** Makes the directories above a path; a link or a file in the way is refused. */
  async prepare(path: string): Promise<void> {
    const parent = dirname(path);
    if (parent === "." || this.#made.has(parent)) return;
    await this.prepare(parent);
    const directory = join(this.#root, parent);
    const stat = await lstat(directory).catch(() => undefined);
    if (stat === undefined) await mkdir(directory);
    else if (!stat.isDirectory()) {
      throw new ExportError(
        "UNSAFE_TARGET",
        `${directory} is in the way: it is not a directory (links are not followed); remove it`,
      );
    }
    this.#made.add(parent);
  }

  async has(path: string, file: File): Promise<boolean> {
    const full = join(this.#root, path);
    const stat = await lstat(full).catch(() => undefined);
    if (
      !stat?.isFile() ||
      stat.size !== file.size ||
      ((stat.mode & 0o111) !== 0) !== file.executable
    )
      return false;
    return (await hashOf(full)).digest("hex") === file.digest;
  }

  async link(path: string, target: string): Promise<void> {
    const full = join(this.#root, path);
    await this.#clear(full);
    await symlink(target, full);
  }

  /** What stands at the name is removed unless it is a directory. */
  async #clear(full: string): Promise<void> {
    const stat = await lstat(full).catch(() => undefined);
    if (stat?.isDirectory())
      throw new ExportError(
        "UNSAFE_TARGET",
        `${full} is a directory where a file belongs; remove it`,
      );
    if (stat !== undefined) await rm(full);
  }

  async write(path: string, bytes: Uint8Array, executable: boolean): Promise<void> {
    const temporary = await this.#partPath(`small-${process.pid}`);
    await rm(temporary, { force: true });
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await open(temporary, flags, executable ? 0o755 : 0o644);
    try {
      await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
    await this.#finish(path, temporary);
  }

  /** Keeps what an interrupted download left, and goes on from there. */
  async writeLarge(client: MirrorClient, path: string, file: File): Promise<void> {
    const temporary = await this.#partPath(file.digest);
    const found = await lstat(temporary).catch(() => undefined);
    // Only a plain file of our own is gone on with; another name for somebody's file is not.
    if (found !== undefined && (!found.isFile() || found.nlink !== 1))
      await rm(temporary, { force: true });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const handle = await open(temporary, flags, 0o600);
    try {
      await client.large(file, sinkTo(handle, temporary));
      await handle.chmod(file.executable ? 0o755 : 0o644);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await this.#finish(path, temporary);
  }

  async #finish(path: string, temporary: string): Promise<void> {
    const full = join(this.#root, path);
    await this.#clear(full);
    await rename(temporary, full);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

function sinkTo(handle: FileHandle, path: string): Parameters<MirrorClient["large"]>[1] {
  let at = 0;
  return {
    offset: async () => {
      at = (await handle.stat()).size;
      return at;
    },
    hash: () => hashOf(path),
    write: async (piece) => {
      await handle.write(piece, 0, piece.length, at);
      at += piece.length;
    },
    reset: () => handle.truncate(0),
  };
}

async function hashOf(path: string): Promise<Hash> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: limits.blobChunkBytes }))
    hash.update(piece as Buffer);
  return hash;
}
