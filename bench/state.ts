import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendMessages } from "../src/app/client/index.ts";
import type { Digest } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import { applyChanges, type Change, DirectoryStore, lookup } from "../src/core/mirror/index.ts";
import { openStateStore } from "../src/io/storage/index.ts";
import { startNet } from "../test/support/net.ts";
import { usageOf } from "./usage.ts";

/** Ten paths of a tree of so many are changed. */
export interface TreeRow {
  readonly entries: number;
  readonly updateMs: number;
  /** Nodes that the update reads and writes. */
  readonly nodesRead: number;
  readonly nodesWritten: number;
  /** Nodes from the root to one entry, bytes: what its proof takes besides the head's. */
  readonly proofBytes: number;
  readonly workHash: string;
}

/** A host with so many accepted records is started. */
export interface StartRow {
  readonly task: string;
  readonly records: number;
  /** Until it answers, and until it is ready to take part; seconds. */
  readonly answersS: number;
  readonly readyS: number;
  readonly peakMiB: number;
}

const perDirectory = 1000;
const changed = 10;

function pathOf(i: number): string {
  return `d${Math.floor(i / perDirectory)}/f${i}`;
}

function changeOf(i: number, version: string): Change {
  const digest = sha256(Buffer.from(`${i} ${version}`));
  const leaf = { kind: "file", digest, size: 8000, executable: false } as const;
  return { path: pathOf(i), leaf, expect: "anything" };
}

/** Trees in a real store, from a thousand entries up. */
export async function benchTrees(most: number): Promise<readonly TreeRow[]> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-state-"));
  const state = await openStateStore(directory);
  const count = { read: 0, written: 0 };
  const nodes = (root: Digest): Uint8Array | undefined => state.get(`n/${root}`);
  let batch: [string, Uint8Array][] = [];
  const pending = new Map<Digest, Uint8Array>();
  const store = new DirectoryStore(
    (root) => {
      count.read++;
      return pending.get(root) ?? nodes(root);
    },
    (root, node) => {
      count.written++;
      pending.set(root, node);
      batch.push([`n/${root}`, node]);
    },
  );
  const write = (): void => {
    state.write(batch);
    batch = [];
    pending.clear();
  };
  const apply = (root: Digest | undefined, changes: readonly Change[]): Digest => {
    const made = applyChanges(store, root, changes);
    write();
    if (made.kind !== "applied" || made.root === undefined) throw new Error("nothing was made");
    return made.root;
  };
  try {
    const rows: TreeRow[] = [];
    let root: Digest | undefined;
    let entries = 0;
    for (let goal = 1000; goal <= most; goal *= 10) {
      for (; entries < goal; entries += perDirectory)
        root = apply(
          root,
          Array.from({ length: perDirectory }, (_, i) => changeOf(entries + i, "")),
        );
      const times: number[] = [];
      for (let round = 0; round < 20; round++) {
        const changes = Array.from({ length: changed }, (_, i) =>
          changeOf(Math.floor((i * entries) / changed) + round, `${round}`),
        );
        count.read = 0;
        count.written = 0;
        const at = performance.now();
        root = apply(root, changes);
        times.push(performance.now() - at);
      }
      times.sort((a, b) => a - b);
      const [nodesRead, nodesWritten] = [count.read, count.written];
      rows.push({
        entries,
        updateMs: times[10] ?? Number.NaN,
        nodesRead,
        nodesWritten,
        proofBytes: proofBytes(root, nodes, pathOf(entries >> 1)),
        workHash: (root ?? "").slice(0, 16),
      });
    }
    return rows;
  } finally {
    await state.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function proofBytes(
  root: Digest | undefined,
  nodes: (root: Digest) => Uint8Array | undefined,
  path: string,
): number {
  let bytes = 0;
  const reading = new DirectoryStore(
    (at) => {
      const node = nodes(at);
      bytes += node?.length ?? 0;
      return node;
    },
    () => undefined,
  );
  if (lookup(reading, root, path.split("/"))?.kind !== "file") throw new Error(`${path} is lost`);
  return bytes;
}

const batchOf = 1000;
const atOnce = 16;

async function append(writers: readonly string[], records: number): Promise<void> {
  const batch = Array.from({ length: batchOf }, (_, i) => Buffer.alloc(100, `${i} `));
  let left = Math.ceil(records / batchOf);
  const work = async (i: number): Promise<void> => {
    while (left-- > 0) await appendMessages(writers[i % writers.length] ?? "", batch);
  };
  await Promise.all(Array.from({ length: atOnce }, (_, i) => work(i)));
}

/** A writer with so many accepted records, ended in order and killed. */
export async function benchStart(records: number): Promise<readonly StartRow[]> {
  const net = await startNet({ writers: 4, readers: 0, logLevel: "silent" });
  try {
    await append(
      net.writers.map(({ http }) => http),
      records,
    );
    const host = net.host("w0");
    const rows: StartRow[] = [];
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await append(
        net.writers.map(({ http }) => http),
        batchOf,
      );
      await host.end(signal);
      const at = performance.now();
      await host.start();
      const answersS = (performance.now() - at) / 1000;
      for (;;) if ((await fetch(`${host.host.admin}/readyz`)).ok) break;
      rows.push({
        task: `start after ${signal}`,
        records: (await host.status()).messages,
        answersS,
        readyS: (performance.now() - at) / 1000,
        peakMiB: usageOf(host.pid).peakBytes / 2 ** 20,
      });
    }
    return rows;
  } finally {
    await net.stop();
  }
}
