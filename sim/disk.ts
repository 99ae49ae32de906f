import { constants } from "node:fs";
import { dirname } from "node:path";
import type { Prng } from "../src/core/base/index.ts";
import type { FileSystem, OpenFile } from "../src/io/ports/index.ts";

const sectorBytes = 512;

/** What a file is to the running program, and what of it a power cut would leave. */
interface Content {
  bytes: Buffer;
  size: number;
  durable: Buffer;
  durableSize: number;
  /** Sectors written since the last sync. */
  readonly dirty: Set<number>;
}

/** What goes wrong with one step. A misdirected write lands elsewhere in its file, and nobody is told. */
export const diskFaults = [
  "crash-before",
  "crash-after",
  "eio",
  "enospc",
  "short",
  "misdirected",
] as const;

export interface DiskPlan {
  /** The n-th step of a kind from now on. */
  readonly step: number;
  readonly what: (typeof diskFaults)[number];
}

/** How a step goes. */
type Outcome = "go" | "short" | "misdirected" | "then-crash" | "dead";

function errorOf(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code, syscall: "sim" });
}

function grown(bytes: Buffer, size: number): Buffer {
  if (size <= bytes.length) return bytes;
  const larger = Buffer.alloc(Math.max(size, 2 * bytes.length, 4096));
  bytes.copy(larger);
  return larger;
}

function contentOf(bytes: Buffer): Content {
  return {
    bytes: Buffer.from(bytes),
    size: bytes.length,
    durable: Buffer.from(bytes),
    durableSize: bytes.length,
    dirty: new Set(),
  };
}

/** What a dead process waits for. A promise of its own each time: one for all would keep every dead world in memory. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

/**
 * A disk that tells *written* from *durable*: a crash keeps an arbitrary subset of the sectors and of the names that
 * were not synced. Writes and reads take no time, syncs do.
 */
export class SimDisk implements FileSystem {
  readonly #files = new Map<string, Content>();
  /** Names as a power cut would leave them. */
  readonly #durableNames = new Map<string, Content>();
  readonly #directories = new Set<string>();
  readonly #syncDelay: () => Promise<void>;
  #generation = 0;
  #steps = 0;
  #plan: DiskPlan | undefined;
  /** Says that syncs were done, and does none. */
  isLying = false;
  /** What was planned happens. */
  onFault: () => void = () => undefined;
  /** A planned crash is due: the process dies at once. */
  onCrash: () => void = () => undefined;

  constructor(syncDelay: () => Promise<void>) {
    this.#syncDelay = syncDelay;
  }

  /** Durable steps so far: what a crash matrix counts through. */
  get steps(): number {
    return this.#steps;
  }

  plan(plan: DiskPlan | undefined): void {
    this.#plan = plan && { ...plan, step: this.#steps + plan.step };
  }

  /** Whatever is wrong with it is mended; what it has lost stays lost. */
  heal(): void {
    this.#plan = undefined;
    this.isLying = false;
  }

  /** Takes a step; resolves with whether to go on as usual, or rejects with a fault. */
  #step(path: string, generation: number): Outcome {
    if (generation !== this.#generation) return "dead";
    const plan = this.#plan;
    if (plan === undefined || ++this.#steps !== plan.step) {
      if (plan === undefined) this.#steps++;
      return "go";
    }
    this.#plan = undefined;
    this.onFault();
    switch (plan.what) {
      case "crash-before":
        this.onCrash();
        return "dead";
      case "crash-after":
        return "then-crash";
      case "short":
      case "misdirected":
        return plan.what;
      default:
        throw errorOf(plan.what.toUpperCase(), path);
    }
  }

  async #stepping<T>(path: string, generation: number, work: (outcome: Outcome) => T): Promise<T> {
    const outcome = this.#step(path, generation);
    if (outcome === "dead") return never();
    const result = work(outcome);
    if (outcome !== "then-crash") return result;
    this.onCrash();
    return never();
  }

  // ── what a program sees ──

  async open(path: string, flags: number): Promise<OpenFile> {
    // I19: nothing is touched outside of the data directory.
    if (!path.startsWith("/data/")) throw new Error(`${path} is outside of the data directory`);
    const generation = this.#generation;
    let content = this.#files.get(path);
    if (content === undefined && (flags & constants.O_CREAT) === 0) throw errorOf("ENOENT", path);
    if (content !== undefined && (flags & constants.O_EXCL) !== 0) throw errorOf("EEXIST", path);
    if (content === undefined) {
      content = contentOf(Buffer.alloc(0));
      const fresh = content;
      await this.#stepping(path, generation, () => this.#files.set(path, fresh));
    }
    const file = this.#handle(path, content, generation);
    if ((flags & constants.O_TRUNC) !== 0 && content.size > 0) await file.truncate(0);
    return file;
  }

  #handle(path: string, content: Content, generation: number): OpenFile {
    const write = (parts: readonly Uint8Array[], position: number): Promise<number> =>
      this.#stepping(path, generation, (outcome) => writeAt(content, parts, { position, outcome }));
    return {
      // biome-ignore lint/complexity/useMaxParams: the port's own signature
      read: async (into, offset, length, position) => {
        if (generation !== this.#generation) return never();
        const available = Math.max(0, Math.min(length, content.size - position));
        content.bytes.copy(into, offset, position, position + available);
        return { bytesRead: available };
      },
      // biome-ignore lint/complexity/useMaxParams: the port's own signature
      write: async (bytes, offset, length, position) => ({
        bytesWritten: await write([bytes.subarray(offset, offset + length)], position),
      }),
      writev: async (parts, position) => ({ bytesWritten: await write(parts, position) }),
      truncate: (length) =>
        this.#stepping(path, generation, () => {
          content.bytes.fill(0, length, content.size);
          for (let i = Math.floor(length / sectorBytes); i * sectorBytes < content.size; i++)
            content.dirty.add(i);
          content.size = length;
        }),
      stat: async () => ({ size: content.size }),
      datasync: async () => {
        const image = imageOf(content);
        await this.#syncDelay();
        await this.#stepping(path, generation, () => {
          if (!this.isLying) settle(content, image);
        });
      },
      close: async () => undefined,
    };
  }

  async mkdir(path: string): Promise<void> {
    this.#directories.add(path);
  }

  async readdir(path: string): Promise<readonly string[]> {
    if (!this.#directories.has(path)) throw errorOf("ENOENT", path);
    const names = [...this.#files.keys()].filter((name) => dirname(name) === path);
    return names.map((name) => name.slice(path.length + 1)).sort();
  }

  async unlink(path: string): Promise<void> {
    if (!this.#files.has(path)) throw errorOf("ENOENT", path);
    await this.#stepping(path, this.#generation, () => this.#files.delete(path));
  }

  async syncDirectory(path: string): Promise<void> {
    const generation = this.#generation;
    const now = new Map([...this.#files].filter(([name]) => dirname(name) === path));
    await this.#syncDelay();
    await this.#stepping(path, generation, () => {
      for (const name of this.#durableNames.keys())
        if (dirname(name) === path && !now.has(name)) this.#durableNames.delete(name);
      for (const [name, content] of now) this.#durableNames.set(name, content);
    });
  }

  // ── what happens to it ──

  /** The process is gone: what it still asks for is never answered. */
  kill(): void {
    this.#generation++;
    this.#plan = undefined;
  }

  /** A power cut: unsynced sectors, sizes and names survive or not, as chance has it. */
  powerCut(random: Prng): void {
    this.kill();
    for (const [name, content] of this.#files) {
      if (!this.#durableNames.has(name) && random.chance(0.5))
        this.#durableNames.set(name, content);
    }
    for (const name of [...this.#durableNames.keys()])
      if (!this.#files.has(name) && random.chance(0.5)) this.#durableNames.delete(name);
    this.#files.clear();
    for (const [name, content] of this.#durableNames) {
      lose(content, random);
      this.#files.set(name, content);
    }
  }

  /** Everything under `path` is gone. */
  remove(path: string): void {
    for (const name of [...this.#files.keys()]) {
      if (name !== path && !name.startsWith(`${path}/`)) continue;
      this.#files.delete(name);
      this.#durableNames.delete(name);
    }
  }

  /** One bit changes where something is stored; the files are known by a part of their name. */
  rot(part: string, random: Prng): boolean {
    const files = [...this.#files].filter(([name, { size }]) => name.includes(part) && size > 0);
    const content = files[random.below(Math.max(1, files.length))]?.[1];
    if (content === undefined) return false;
    const at = random.below(content.size);
    content.bytes[at] = (content.bytes[at] ?? 0) ^ (1 << random.below(8));
    content.durable = Buffer.from(content.bytes.subarray(0, content.size));
    content.durableSize = content.size;
    return true;
  }

  /** A copy of all that is durable, as a backup would have it. */
  backup(): ReadonlyMap<string, Buffer> {
    return new Map(
      [...this.#durableNames].map(([name, { durable, durableSize }]) => [
        name,
        Buffer.from(durable.subarray(0, durableSize)),
      ]),
    );
  }

  restore(backup: ReadonlyMap<string, Buffer>): void {
    this.kill();
    this.#files.clear();
    this.#durableNames.clear();
    for (const [name, bytes] of backup) {
      const content = contentOf(bytes);
      this.#files.set(name, content);
      this.#durableNames.set(name, content);
    }
  }
}

function writeAt(
  content: Content,
  parts: readonly Uint8Array[],
  { position, outcome }: { readonly position: number; readonly outcome: Outcome },
): number {
  const whole = Buffer.concat(parts);
  const bytes = outcome === "short" ? whole.subarray(0, Math.max(0, whole.length - 5)) : whole;
  const at = outcome === "misdirected" ? Math.max(0, position - sectorBytes) : position;
  content.bytes = grown(content.bytes, Math.max(position, at) + bytes.length);
  bytes.copy(content.bytes, at);
  content.size = Math.max(content.size, position + bytes.length);
  const end = at + bytes.length;
  for (let i = Math.floor(at / sectorBytes); i * sectorBytes < end; i++) content.dirty.add(i);
  return bytes.length;
}

/** What a sync makes durable: the sectors that were written when it began, and the size. */
interface Image {
  readonly size: number;
  readonly sectors: ReadonlyMap<number, Buffer>;
}

function sectorOf({ bytes, size }: { bytes: Buffer; size: number }, i: number): Buffer {
  return bytes.subarray(i * sectorBytes, Math.min((i + 1) * sectorBytes, size));
}

function imageOf(content: Content): Image {
  const sectors = new Map<number, Buffer>();
  for (const i of content.dirty) sectors.set(i, Buffer.from(sectorOf(content, i)));
  return { size: content.size, sectors };
}

/** The sync is over: sectors that were written again meanwhile stay unsynced. */
function settle(content: Content, { size, sectors }: Image): void {
  content.durable = grown(content.durable, size);
  content.durableSize = size;
  for (const [i, sector] of sectors) {
    sector.copy(content.durable, i * sectorBytes);
    if (sectorOf(content, i).equals(sector)) content.dirty.delete(i);
  }
}

/** The unsynced part of a file: sector by sector, all of it, none of it, or a torn beginning. */
function lose(content: Content, random: Prng): void {
  const { dirty, size } = content;
  const durable = content.durable.subarray(0, content.durableSize);
  const fate = random.below(4);
  const sectors = [...dirty].sort((a, b) => a - b);
  const torn = random.below(sectors.length + 1);
  const survives = (i: number): boolean => {
    if (fate === 0) return false;
    if (fate === 1) return true;
    return fate === 2 ? i < torn : random.chance(0.5);
  };
  const kept = sectors.filter((_, i) => survives(i));
  const newest = Math.max(
    durable.length,
    ...kept.map((i) => Math.min(size, (i + 1) * sectorBytes)),
  );
  const left = Buffer.alloc(newest);
  durable.copy(left);
  for (const i of kept)
    content.bytes.copy(
      left,
      i * sectorBytes,
      i * sectorBytes,
      Math.min(size, (i + 1) * sectorBytes),
    );
  content.bytes = left;
  content.size = left.length;
  content.durable = Buffer.from(left);
  content.durableSize = left.length;
  dirty.clear();
}
