import { lstat, readlink } from "node:fs/promises";
import { relative } from "node:path";
import { fdir } from "fdir";
import { compareText, type Digest } from "../../core/base/index.ts";
import { type Leaf, parsePath } from "../../core/mirror/index.ts";
import { hashFile } from "../../io/storage/index.ts";

/** A leaf of a local directory, with the file it came from. */
export interface LocalLeaf {
  readonly leaf: Leaf;
  readonly file: string;
}

/** A local directory cannot be published as it is; names the path and why. */
export class LocalTreeError extends Error {
  override readonly name = "LocalTreeError";
  readonly code = "BAD_LOCAL_TREE";
}

const parallel = 8;

/**
 * The leaves of a directory by path: files with their digests, links as they are, nothing followed. Sockets,
 * pipes and devices are refused. `onFile` is told of progress.
 */
export async function scanDirectory(
  directory: string,
  onFile: (done: number, total: number) => void = () => undefined,
): Promise<ReadonlyMap<string, LocalLeaf>> {
  if (!(await lstat(directory).catch(() => undefined))?.isDirectory()) {
    throw new LocalTreeError(`${directory} is not a directory`);
  }
  const files = await new fdir({
    includeBasePath: true,
    excludeSymlinks: false,
    suppressErrors: false,
  })
    .crawl(directory)
    .withPromise();
  const leaves = new Map<string, LocalLeaf>();
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let file = files[next++]; file !== undefined; file = files[next++]) {
      const path = relative(directory, file).split("\\").join("/");
      const names = parsePath(path);
      if (!names.ok) throw new LocalTreeError(names.error.detail);
      leaves.set(path, { leaf: await leafOf(file), file });
      onFile(++done, files.length);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return new Map([...leaves].sort(([a], [b]) => compareText(a, b)));
}

async function leafOf(file: string): Promise<Leaf> {
  const stat = await lstat(file);
  if (stat.isSymbolicLink()) return { kind: "link", target: await readlink(file) };
  if (!stat.isFile())
    throw new LocalTreeError(`${file} is neither a file nor a link; leave it out`);
  const { digest, size } = await hashFile(file);
  return { kind: "file", digest, size, executable: (stat.mode & 0o111) !== 0 };
}

/** Where a blob's bytes are on this machine. */
export function filesByDigest(leaves: ReadonlyMap<string, LocalLeaf>): ReadonlyMap<Digest, string> {
  const files = new Map<Digest, string>();
  for (const { leaf, file } of leaves.values())
    if (leaf.kind === "file") files.set(leaf.digest, file);
  return files;
}
