import { lstatSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fdir } from "fdir";
import { compareText, type Digest, limits } from "../../core/base/index.ts";
import { sha256 } from "../../core/crypto/index.ts";
import { chunksDigest, type Leaf, parsePath } from "../../core/mirror/index.ts";
import { HashPool } from "./hash-pool.ts";
import type { ScanCache } from "./scan-cache.ts";

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
/** Small files are read without waiting; after so many milliseconds answers that came meanwhile have their turn. */
const stretchMs = 100;
/** Files up to this size are read whole. */
const wholeBytesMax = limits.blobChunkBytes;

/**
 * The leaves of a directory by path: files with their digests, links as they are, nothing followed. Sockets,
 * pipes and devices are refused. `onFile` is told of progress. Files that `cache` knows are not read again.
 */
export async function scanDirectory(
  directory: string,
  options: {
    readonly onFile?: (done: number, total: number) => void;
    readonly cache?: ScanCache;
  } = {},
): Promise<ReadonlyMap<string, LocalLeaf>> {
  const { onFile, cache } = options;
  if (!(await lstat(directory).catch(() => undefined))?.isDirectory()) {
    throw new LocalTreeError(`${directory} is not a directory`);
  }
  // Of "." it would tell names without their directories.
  const root = resolve(directory);
  const paths = await new fdir({ excludeSymlinks: false, suppressErrors: false })
    .withRelativePaths()
    .crawl(root)
    .withPromise();
  const leaves = new Map<string, LocalLeaf>();
  const pool = new HashPool();
  let next = 0;
  let done = 0;
  let pauseMs = performance.now() + stretchMs;
  const work = async (): Promise<void> => {
    for (let found = paths[next++]; found !== undefined; found = paths[next++]) {
      const path = sep === "/" ? found : found.split(sep).join("/");
      const file = `${root}${sep}${found}`;
      const leaf = leafOf(file, { cache, path, pool });
      leaves.set(path, { leaf: leaf instanceof Promise ? await leaf : leaf, file });
      onFile?.(++done, paths.length);
      if (performance.now() < pauseMs) continue;
      await setImmediate();
      pauseMs = performance.now() + stretchMs;
    }
  };
  try {
    await Promise.all(Array.from({ length: parallel }, work));
  } finally {
    await pool.close();
  }
  return new Map([...leaves].sort(([a], [b]) => compareText(a, b)));
}

function leafOf(file: string, known: Known): Promise<Leaf> | Leaf {
  const stat = lstatSync(file);
  const remembered = stat.isFile() ? known.cache?.leafOf(known.path, stat) : undefined;
  if (remembered !== undefined) return remembered;
  const names = parsePath(known.path);
  if (!names.ok) throw new LocalTreeError(names.error.detail);
  if (stat.isSymbolicLink()) {
    const target = readlinkSync(file);
    known.cache?.noteLink(known.path, target);
    return { kind: "link", target };
  }
  if (!stat.isFile())
    throw new LocalTreeError(`${file} is neither a file nor a link; leave it out`);
  const executable = (stat.mode & 0o111) !== 0;
  if (stat.size > wholeBytesMax) return largeLeaf(file, { stat, executable, known });
  // Small files are read at once: a stream, or a trip through the thread pool, costs more than the reading.
  const bytes = readFileSync(file);
  return noted(known, stat, {
    kind: "file",
    digest: sha256(bytes),
    size: bytes.length,
    executable,
  });
}

/** A path of the tree, and what an earlier run read there. */
interface Known {
  readonly cache: ScanCache | undefined;
  readonly path: string;
  readonly pool: HashPool;
}

type FileLeaf = Extract<Leaf, { kind: "file" }>;

function noted(known: Known, stat: Stats, leaf: FileLeaf): FileLeaf {
  if (leaf.size === stat.size) known.cache?.noteFile(known.path, stat, leaf);
  return leaf;
}

async function largeLeaf(
  file: string,
  { stat, executable, known }: { stat: Stats; executable: boolean; known: Known },
): Promise<FileLeaf> {
  const { digest, size, sums } = await known.pool.hash(file, stat.size);
  return noted(known, stat, {
    kind: "file",
    digest,
    size,
    executable,
    chunks: chunksDigest(sums),
  });
}

/** Where a blob's bytes are on this machine. */
export function filesByDigest(leaves: ReadonlyMap<string, LocalLeaf>): ReadonlyMap<Digest, string> {
  const files = new Map<Digest, string>();
  for (const { leaf, file } of leaves.values())
    if (leaf.kind === "file") files.set(leaf.digest, file);
  return files;
}
