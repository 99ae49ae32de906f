import assert from "node:assert/strict";
import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { EvidenceRow } from "../../src/app/gateway/index.ts";
import { blockFromWire } from "../../src/core/dag/index.ts";
import type { HostProcess, Net } from "./net.ts";

const headBytes = 9;
const blockType = 1;

/** What a host has proofs of, as `kind host`. */
export async function evidenceOf(host: HostProcess): Promise<string[]> {
  if (!host.isRunning) return [];
  const response = await fetch(`${host.http}/.smalti/evidence`);
  const { evidence } = (await response.json()) as { evidence: readonly EvidenceRow[] };
  return evidence.map(({ kind, host: culprit }) => `${kind} ${culprit}`);
}

/** No host has proof of cheating against anybody. */
export async function noEvidence(net: Net): Promise<void> {
  for (const host of net.hosts.values()) {
    assert.deepEqual(await evidenceOf(host), [], `${host.host.name} accuses nobody`);
  }
}

/** Log segments of a host, in order. */
export async function logFiles(home: string, kind = "log"): Promise<string[]> {
  const directory = join(home, "data", kind);
  const names = await readdir(directory).catch(() => []);
  return names
    .filter((name) => name.endsWith(".log"))
    .sort()
    .map((name) => join(directory, name));
}

/** Whole records of one segment: an independent reader of the format. */
export function recordsOf(content: Buffer): { readonly type: number; readonly bytes: Buffer }[] {
  const records: { type: number; bytes: Buffer }[] = [];
  let at = 0;
  while (at + headBytes <= content.length) {
    const length = content.readUInt32BE(at);
    const type = content.readUInt8(at + 4);
    const bytes = content.subarray(at + headBytes, at + headBytes + length);
    const sum = crc32(bytes, crc32(Buffer.from([type])));
    if (bytes.length < length || sum !== content.readUInt32BE(at + 5)) break;
    records.push({ type, bytes });
    at += headBytes + length;
  }
  return records;
}

/** Every block that any host has logged, and the rounds for which a writer signed two. */
export async function signedBlocks(
  net: Net,
  more: readonly string[] = [],
): Promise<{ readonly blocks: number; readonly twins: readonly string[] }> {
  const slots = new Map<string, Set<string>>();
  const files = [...more];
  for (const { host } of net.hosts.values()) files.push(...(await logFiles(host.home)));
  for (const file of files) {
    for (const { type, bytes } of recordsOf(await readFile(file))) {
      const block = type === blockType ? blockFromWire(bytes) : undefined;
      if (block?.ok !== true) continue;
      const { author, round, digest } = block.value.ref;
      const slot = `writer ${author} round ${round}`;
      slots.set(slot, (slots.get(slot) ?? new Set()).add(digest));
    }
  }
  const twins = [...slots].filter(([, digests]) => digests.size > 1).map(([slot]) => slot);
  return { blocks: slots.size, twins };
}

/** Changes one byte of a file. */
export async function flipByte(path: string, offset: number, mask: number): Promise<void> {
  const handle = await open(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8(0) ^ mask, 0);
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}
