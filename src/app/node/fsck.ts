import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Digest, equalBytes, limits, readBigEndian } from "../../core/base/index.ts";
import { append, emptyFrontier, rootOf } from "../../core/crypto/index.ts";
import { stateKeys } from "../../core/mirror/index.ts";
import { loadKeyFile, lockIdentity } from "../../io/files/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import { openBlobStore, openStateStore } from "../../io/storage/index.ts";
import { ask, ContentClient } from "../client/index.ts";
import { type Home, homeOf, loadConfig } from "../config/index.ts";
import { decodeKept, isKept, type Kept, walkTrees } from "../retention/index.ts";
import { Archive, type PinnedTrees } from "../store/index.ts";

/** Something that is not as the log says. */
interface FsckProblem {
  readonly kind: "log" | "height" | "directory" | "file";
  /** Which one: a size, a height, or a digest. */
  readonly what: string;
  readonly detail: string;
  readonly isRepaired: boolean;
}

/** What a check of a data directory found, and what was mended. */
export interface FsckReport {
  readonly leaves: number;
  readonly heights: number;
  readonly directories: number;
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly FsckProblem[];
}

type Note = (problem: Omit<FsckProblem, "isRepaired">) => void;

/**
 * Checks a stopped host's data from the log down to every byte: leaves against the certified root, each height's
 * directories, each file's SHA-256. With `servers`, content that is missing or damaged is fetched from them again.
 * Throws IDENTITY_IN_USE while the host runs; CONFIG_*, STORAGE_*.
 */
export async function fsck(
  directory: string,
  options: {
    readonly servers?: readonly string[];
    readonly onFile?: (done: number, total: number) => void;
  } = {},
): Promise<FsckReport> {
  const home = homeOf(directory, await loadConfig(directory));
  const { publicKey } = await loadKeyFile(join(home.keysDirectory, "node.json"), "node");
  const lock = await lockIdentity(publicKey);
  try {
    return await checked(home, options);
  } finally {
    await lock.release();
  }
}

async function checked(home: Home, options: Parameters<typeof fsck>[1] = {}): Promise<FsckReport> {
  const state = await openStateStore(join(home.dataDirectory, "state"));
  const blobs = await openBlobStore(join(home.dataDirectory, "blobs"), state);
  try {
    const archive = new Archive(state);
    const problems: FsckProblem[] = [];
    const note: Note = (problem) => problems.push({ ...problem, isRepaired: false });
    const complete = readBigEndian(state.get(stateKeys.complete) ?? new Uint8Array(0));
    const leaves = checkLog(archive, note);
    const kept = decodeKept(state.get(stateKeys.kept));
    const found = checkTrees(archive, { complete, kept }, note);
    const damaged = await checkFiles(blobs, found.files, options.onFile);
    const repaired = await repair(blobs, damaged, options.servers ?? []);
    for (const [digest, { detail }] of damaged)
      problems.push({ kind: "file", what: digest, detail, isRepaired: repaired.has(digest) });
    const bytes = [...found.files.values()].reduce((sum, size) => sum + size, 0);
    await state.flushed();
    return {
      leaves,
      heights: complete,
      directories: found.directories,
      files: found.files.size,
      bytes,
      problems,
    };
  } finally {
    await blobs.close();
    await state.close();
  }
}

/** The log below the newest checkpoint makes its root again. */
function checkLog(archive: Archive, note: Note): number {
  const head = archive.certified();
  if (head === undefined) return 0;
  const { size, root } = head.due;
  let frontier = emptyFrontier;
  for (let index = 0; index < size; index++) {
    const leaf = archive.leaf(index);
    if (leaf === undefined) {
      note({ kind: "log", what: String(index), detail: "the leaf is missing" });
      return size;
    }
    frontier = append(frontier, leaf).frontier;
  }
  if (!equalBytes(rootOf(frontier), root))
    note({
      kind: "log",
      what: String(size),
      detail: "the leaves do not make the root that is certified",
    });
  return size;
}

interface Found {
  readonly directories: number;
  /** Size by digest. */
  readonly files: ReadonlyMap<Digest, number>;
}

/** Every directory of every height that is complete, each once; files of those whose content is kept. */
function checkTrees(
  archive: Archive,
  { complete, kept }: { readonly complete: number; readonly kept: Kept },
  note: Note,
): Found {
  const check = new TreeCheck(archive);
  for (let height = 1; height <= complete; height++) {
    const record = archive.height(height);
    if (record === undefined)
      note({ kind: "height", what: String(height), detail: "its record is missing" });
    else check.visit(record, isKept(kept, height));
  }
  for (const [what, height] of check.damaged)
    note({ kind: "directory", what, detail: `missing or damaged, first at height ${height}` });
  return { directories: check.directories, files: check.files };
}

class TreeCheck {
  readonly #archive: Archive;
  readonly #whole = new Set<Digest>();
  readonly #forgotten = new Set<Digest>();
  readonly files = new Map<Digest, number>();
  /** Directories that cannot be read, with the first height that has them. */
  readonly damaged = new Map<Digest, number>();

  constructor(archive: Archive) {
    this.#archive = archive;
  }

  get directories(): number {
    return new Set([...this.#whole, ...this.#forgotten]).size;
  }

  visit({ trees, height }: PinnedTrees, isHere: boolean): void {
    const seen = isHere ? this.#whole : this.#forgotten;
    for (const met of walkTrees(this.#archive.nodes, trees, seen)) {
      if (met.kind === "damaged") this.damaged.set(met.root, this.damaged.get(met.root) ?? height);
      else if (met.kind === "file" && isHere) this.files.set(met.digest, met.size);
    }
  }
}

interface Damaged {
  readonly size: number;
  readonly detail: string;
}

async function checkFiles(
  blobs: BlobStore,
  files: ReadonlyMap<Digest, number>,
  onFile: ((done: number, total: number) => void) | undefined,
): Promise<ReadonlyMap<Digest, Damaged>> {
  const damaged = new Map<Digest, Damaged>();
  let done = 0;
  for (const [digest, size] of files) {
    const detail = await faultOf(blobs, digest, size);
    if (detail !== undefined) damaged.set(digest, { size, detail });
    onFile?.(++done, files.size);
  }
  return damaged;
}

/** What is wrong with a blob; a damaged one is forgotten by the store, and can be put again. */
async function faultOf(
  blobs: BlobStore,
  digest: Digest,
  size: number,
): Promise<string | undefined> {
  if (!blobs.has(digest)) return "its content is not here";
  try {
    const hash = createHash("sha256");
    for await (const piece of blobs.lend(digest, { start: 0, end: size })) hash.update(piece);
    return hash.digest("hex") === digest ? undefined : "its content has another SHA-256";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Fetches what is damaged from neighbours, verified as it is kept; returns what is whole now. */
async function repair(
  blobs: BlobStore,
  damaged: ReadonlyMap<Digest, Damaged>,
  servers: readonly string[],
): Promise<ReadonlySet<Digest>> {
  const whole = new Set<Digest>();
  if (servers.length === 0 || damaged.size === 0) return whole;
  const isSmall = ({ size }: Damaged): boolean => size <= limits.packedBlobBytesMax;
  const small = [...damaged].filter(([, one]) => isSmall(one)).map(([digest]) => digest);
  const client = new ContentClient({ servers });
  try {
    for await (const blob of client.smallBlobs(small)) {
      await blobs.putSmall([blob]);
      whole.add(blob.digest);
    }
  } catch {
    // What no neighbour has stays reported.
  }
  for (const [digest, one] of damaged)
    if (!isSmall(one) && (await fetchLarge(blobs, { digest, size: one.size }, servers)))
      whole.add(digest);
  return whole;
}

async function fetchLarge(
  blobs: BlobStore,
  blob: { readonly digest: Digest; readonly size: number },
  servers: readonly string[],
): Promise<boolean> {
  for (const server of servers) {
    try {
      const offset = await blobs.partialSize(blob.digest);
      const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
      const { body } = await ask(`${server}/.smalti/blob/sha256/${blob.digest}`, { headers });
      if (await blobs.putLarge({ ...blob, offset }, body)) return true;
    } catch {
      // The next one may have it.
    }
  }
  return false;
}
