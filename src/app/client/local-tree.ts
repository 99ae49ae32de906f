import { isUtf8 } from "node:buffer";
import { lstatSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { compareText, type Digest, limits } from "../../core/base/index.ts";
import { sha256 } from "../../core/crypto/index.ts";
import { chunksDigest, type Leaf, parsePath } from "../../core/mirror/index.ts";
import { HashPool } from "./hash-pool.ts";
import { LocalTreeError, localFault } from "./local-error.ts";
import type { ScanCache } from "./scan-cache.ts";
import { walkLocal } from "./walk-local.ts";

/** A leaf of a local directory, with the file it came from. */
export interface LocalLeaf {
  readonly leaf: Leaf;
  readonly file: string;
}

const parallel = 8;
/** Small files are read without waiting; after so many milliseconds answers that came meanwhile have their turn. */
const stretchMs = 100;
/** Files up to this size are read whole. */
const wholeBytesMax = limits.blobChunkBytes;

interface ScanOptions {
  readonly onFile?: (done: number, total: number) => void;
  readonly cache?: ScanCache;
  /** Something that a tree cannot hold; without it, the first such thing is an error. */
  readonly onOmitted?: (path: string, why: string) => void;
  /** A tree has files and links: a directory without any is not in it. */
  readonly onEmptyDirectory?: (path: string) => void;
}

/**
 * The leaves of a directory by path: files with their digests, links as they are, nothing followed below it. Sockets,
 * pipes, devices, and names and targets that are not UTF-8 are left out, and told. `onFile` is told of progress. Files
 * that `cache` knows are not read again. Throws LocalTreeError.
 */
export async function scanDirectory(
  directory: string,
  options: ScanOptions = {},
): Promise<ReadonlyMap<string, LocalLeaf>> {
  const { onFile, cache } = options;
  if (!(await stat(directory).catch(() => undefined))?.isDirectory()) {
    throw new LocalTreeError(`${directory} is not a directory`);
  }
  const omit = (path: string, why: string): void => {
    if (options.onOmitted === undefined)
      throw new LocalTreeError(`${JSON.stringify(path)} cannot be in a tree: ${why}; leave it out`);
    options.onOmitted(path, why);
  };
  const root = await realpath(directory);
  const { paths, emptyDirectories, unreadable } = await walkLocal(root);
  for (const path of unreadable) omit(path, "the name is not UTF-8");
  for (const path of emptyDirectories) options.onEmptyDirectory?.(path);
  const leaves = new Map<string, LocalLeaf>();
  const pool = new HashPool();
  let next = 0;
  let done = 0;
  let pauseMs = performance.now() + stretchMs;
  const work = async (): Promise<void> => {
    for (let path = paths[next++]; path !== undefined; path = paths[next++]) {
      const file = `${root}/${path}`;
      const leaf = await leafOf(file, { cache, path, pool });
      if ("omitted" in leaf) omit(path, leaf.omitted);
      else leaves.set(path, { leaf, file });
      onFile?.(++done, paths.length);
      if (performance.now() < pauseMs) continue;
      await setImmediate();
      pauseMs = performance.now() + stretchMs;
    }
  };
  try {
    await Promise.all(Array.from({ length: parallel }, work));
  } catch (error) {
    // The others need not read on.
    next = paths.length;
    throw error;
  } finally {
    await pool.close();
  }
  return new Map([...leaves].sort(([a], [b]) => compareText(a, b)));
}

/** One file, as {@link scanDirectory} would find it. Throws LocalTreeError. */
export async function scanFile(file: string): Promise<LocalLeaf> {
  const pool = new HashPool();
  try {
    const leaf = await leafOf(file, { cache: undefined, path: "file", pool });
    if ("omitted" in leaf) throw new LocalTreeError(`${file}: ${leaf.omitted}`);
    return { leaf, file };
  } finally {
    await pool.close();
  }
}

interface Omitted {
  readonly omitted: string;
}

async function leafOf(file: string, known: Known): Promise<Leaf | Omitted> {
  try {
    return await lookAt(file, known);
  } catch (error) {
    throw localFault(file, error);
  }
}

function lookAt(file: string, known: Known): Promise<Leaf> | Leaf | Omitted {
  const stat = lstatSync(file);
  const remembered = stat.isFile() ? known.cache?.leafOf(known.path, stat) : undefined;
  if (remembered !== undefined) return remembered;
  const names = parsePath(known.path);
  if (!names.ok) return { omitted: names.error.detail };
  if (stat.isSymbolicLink()) return linkAt(file, known);
  if (!stat.isFile()) return { omitted: "it is neither a file nor a link" };
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

/** Nothing of a link is decoded in a way that loses something. */
function linkAt(file: string, known: Known): Leaf | Omitted {
  const target = readlinkSync(file, "buffer");
  if (!isUtf8(target)) return { omitted: "the link's target is not UTF-8" };
  if (target.length > limits.symlinkBytesMax)
    return { omitted: `the link's target is longer than ${limits.symlinkBytesMax} bytes` };
  known.cache?.noteLink(known.path, target.toString());
  return { kind: "link", target: target.toString() };
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
