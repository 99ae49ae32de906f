import { type Digest, defined, ok, type Result } from "../base/index.ts";
import { read } from "../codec/index.ts";
import type { AcceptedBatch, LogRecord, RecordName } from "../consensus/index.ts";
import { blockFromWire, type Ref, type VerifiedBlock } from "./block.ts";
import { type Commit, commitDigest, commitShape } from "./commit.ts";

/** Numbers of the records in the log; never reordered. */
const types = { block: 1, commit: 2 } as const;

export interface BlockRecord extends LogRecord {
  readonly block: VerifiedBlock;
}

export interface CommitRecord extends LogRecord {
  readonly commit: Commit;
}

export type DagRecord = BlockRecord | CommitRecord;

/** By which a block is found in the log. */
export function nameOf({ round, digest }: Ref): RecordName {
  return { place: round, digest };
}

/** A block as the log keeps it. */
export function blockRecord(block: VerifiedBlock): BlockRecord {
  return { type: types.block, bytes: block.wire, name: nameOf(block.ref), block };
}

export function commitRecord(commit: Commit, bytes: Uint8Array): CommitRecord {
  const batch = { index: commit.index, parts: commit.blocks.map(nameOf) };
  return { type: types.commit, bytes, batch, commit };
}

/** A record of the log, which this program wrote. Faults: MALFORMED_*, NOT_CANONICAL, those of {@link blockFromWire}. */
export function readDagRecord(type: number, bytes: Uint8Array): Result<DagRecord> {
  if (type === types.block) {
    const block = blockFromWire(bytes);
    return block.ok ? ok(blockRecord(block.value)) : block;
  }
  const commit = read(bytes, commitShape, "commit");
  return commit.ok ? ok(commitRecord(commit.value, bytes)) : commit;
}

/** Records of this algorithm: whoever hands them over has them from {@link readDagRecord} or from the machine. */
function dagRecord(record: LogRecord): DagRecord {
  return record as DagRecord;
}

/** The block of a record; `undefined` for a commit. */
export function blockOf(record: LogRecord): VerifiedBlock | undefined {
  const one = dagRecord(record);
  return "block" in one ? one.block : undefined;
}

export function commitOf(record: LogRecord): Commit | undefined {
  const one = dagRecord(record);
  return "commit" in one ? one.commit : undefined;
}

/** What a logged commit orders, from its blocks in their order. */
export function loggedBatch(record: LogRecord, parts: readonly LogRecord[]): AcceptedBatch {
  const commit = defined(commitOf(record), "a batch ends with a commit");
  const blocks = parts.map((part) => defined(blockOf(part), "a commit consists of blocks"));
  return batchOf({ commit, digest: commitDigest(record.bytes) }, blocks);
}

/** What a commit orders, without tickets, since nobody waits for what is read back. */
export function batchOf(
  { commit, digest }: { readonly commit: Commit; readonly digest: Digest },
  blocks: readonly VerifiedBlock[],
): AcceptedBatch {
  const payloads = blocks
    .filter((block) => block.segments.length > 0)
    .map((block) => ({ author: block.ref.author, segments: block.segments, tickets: [] }));
  return { index: commit.index, digest, tsMs: commit.tsMs, payloads };
}
