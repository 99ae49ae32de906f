import { limits } from "../../core/base/index.ts";
import {
  digest,
  encode,
  fields,
  list,
  natural,
  read,
  type Shape,
  type Value,
} from "../../core/codec/index.ts";
import {
  type AcceptedBatch,
  blockFromWire,
  type Commit,
  type CommitCertificate,
  type CommitRange,
  commitDigest,
  commitShape,
  type RangeCommit,
  signedHeaderShape,
  signedHeaderValue,
  type VerifiedBlock,
} from "../../core/consensus/index.ts";
import { batchOf } from "../../core/host/index.ts";
import { padded } from "../../core/mirror/index.ts";
import type { Position, RecordLog, StateStore } from "../../io/ports/index.ts";

/** A certificate is kept after so many commits or payload bytes, so that every range that is asked for has one. */
const certificateEvery = { commits: 50, bytes: 1 << 20 };

/** Commits in one answer: a host that is behind catches up faster than the others go on. */
const farMax = 500;

type Reader = Pick<RecordLog, "read">;

const commitKey = (index: number): string => `c/${padded(index)}`;
const certificateKey = (index: number): string => `v/${padded(index)}`;

/** Where a commit and its blocks stand in the log. */
interface CommitEntry {
  readonly record: Position;
  readonly blocks: readonly Position[];
}

const positionShape: Shape<Position> = (value, what) => {
  const [segment, offset] = fields(2)(value, what);
  return {
    segment: natural()(segment, `${what}.segment`),
    offset: natural()(offset, `${what}.offset`),
  };
};

const commitEntryShape: Shape<CommitEntry> = (value, what) => {
  const [record, blocks] = fields(2)(value, what);
  return {
    record: positionShape(record, `${what}.record`),
    blocks: list(positionShape, limits.commitBlocksMax)(blocks, `${what}.blocks`),
  };
};

const certificateShape: Shape<CommitCertificate> = (value, what) => {
  const [index, hash, voters] = fields(3)(value, what);
  return {
    index: natural()(index, `${what}.index`),
    digest: digest(hash, `${what}.digest`),
    voters: list(signedHeaderShape, limits.committeeWritersMax)(voters, `${what}.voters`),
  };
};

const positionValue = ({ segment, offset }: Position): Value => [segment, offset];

/** The entry of a commit in the state store. */
export function commitEntry(index: number, { record, blocks }: CommitEntry): [string, Uint8Array] {
  return [commitKey(index), encode([positionValue(record), blocks.map(positionValue)])];
}

/** Commits, their blocks and what certifies them: what readers and lagging writers ask for. */
export class CommitArchive {
  readonly #state: StateStore;
  readonly #log: RecordLog;
  #tip: CommitCertificate | undefined;
  /** The newest certificate, though what it certifies may not be here yet. */
  #newest: CommitCertificate | undefined;
  #ends: readonly number[] = [];
  /** Payload bytes since the last certificate that was kept. */
  #sinceCertificate = 0;
  #lastKept: number | undefined;

  constructor(state: StateStore, log: RecordLog) {
    this.#state = state;
    this.#log = log;
  }

  /** Commits with which groups end that split: what follows is another group's. */
  endsAt(commits: readonly number[]): void {
    this.#ends = commits;
  }

  /** Payload was logged. */
  logged(bytes: number): void {
    this.#sinceCertificate += bytes;
  }

  /** What it certifies may come later, where it comes with a part of the chain. */
  keepCertificate(certificate: CommitCertificate): void {
    if (certificate.index > (this.#newest?.index ?? 0)) this.#newest = certificate;
    const { index, digest: hash, voters } = certificate;
    this.#lastKept ??= this.#newestKept();
    const commits = index - this.#lastKept;
    if (commits < certificateEvery.commits && this.#sinceCertificate < certificateEvery.bytes)
      return;
    this.#sinceCertificate = 0;
    this.#lastKept = index;
    const value = encode([index, Buffer.from(hash, "hex"), voters.map(signedHeaderValue)]);
    this.#state.write([[certificateKey(index), value]]);
  }

  #newestKept(): number {
    const range = {
      start: certificateKey(0),
      end: certificateKey(2 ** 47),
      reverse: true,
      limit: 1,
    };
    for (const [key] of this.#state.range(range)) return Number.parseInt(key.slice(2), 16);
    return 0;
  }

  /** The newest certificate of which the commits are here. */
  get tip(): CommitCertificate | undefined {
    if (this.#newest !== this.#tip && this.#has(this.#newest)) this.#tip = this.#newest;
    return this.#tip;
  }

  #has(certificate: CommitCertificate | undefined): boolean {
    return certificate !== undefined && this.commit(certificate.index) !== undefined;
  }

  /**
   * Commits after `after`, and what certifies the last of them: with their blocks as many as one answer takes, then the
   * chain to the certificate. Empty where nothing after it is certified here.
   */
  async range(after: number): Promise<CommitRange> {
    for (const certificate of this.#certificatesFor(after)) {
      const end = this.#ends.find((index) => index > after);
      // What ends a group is certified by the document that founds the next one.
      const isEnd = end !== undefined && end <= certificate.index;
      const commits = await this.#between(after, isEnd ? end : certificate.index);
      if (commits !== undefined) return { commits, voters: isEnd ? [] : certificate.voters };
    }
    return { commits: [], voters: [] };
  }

  /** `undefined` where something is missing, or the chain is too long for an answer. */
  async #between(after: number, last: number): Promise<RangeCommit[] | undefined> {
    const log = this.#log.reader();
    const commits: RangeCommit[] = [];
    let [bytes, chainBytes] = [0, 0];
    if (last - after > limits.syncCommitsMax) return undefined;
    for (let index = after + 1; index <= last; index++) {
      const found = await this.#recordOf(log, index);
      chainBytes += found?.bytes ?? 0;
      if (found === undefined || chainBytes > limits.syncBytesMax) return undefined;
      const isFull = commits.length > 0 && bytes > limits.syncBytesMax;
      const blocks = isFull ? undefined : await wiresOf(log, found.entry);
      for (const wire of blocks ?? []) bytes += wire.length;
      commits.push({ commit: found.commit, blocks });
    }
    return commits;
  }

  async #recordOf(
    log: Reader,
    index: number,
  ): Promise<
    { readonly entry: CommitEntry; readonly commit: Commit; readonly bytes: number } | undefined
  > {
    const entry = this.commit(index);
    if (entry === undefined) return undefined;
    const { bytes } = await log.read(entry.record);
    const commit = read(bytes, commitShape, "commit");
    return commit.ok ? { entry, commit: commit.value, bytes: bytes.length } : undefined;
  }

  /** The farthest certificate that an answer reaches, and the next one, should the way to the first be too long. */
  #certificatesFor(after: number): CommitCertificate[] {
    const { tip } = this;
    const isNear = tip !== undefined && tip.index > after && tip.index <= after + farMax;
    const farthest = isNear ? tip : this.#kept({ after, until: after + farMax, reverse: true });
    const next = this.#kept({ after, until: 2 ** 47 - 1, reverse: false });
    const last = tip !== undefined && tip.index > after ? tip : undefined;
    return [farthest, next, last].filter((certificate) => certificate !== undefined);
  }

  #kept(of: {
    readonly after: number;
    readonly until: number;
    readonly reverse: boolean;
  }): CommitCertificate | undefined {
    const { after, until, reverse } = of;
    const between = { start: certificateKey(after + 1), end: certificateKey(until + 1) };
    for (const [key, value] of this.#state.range({ ...between, reverse, limit: 1 })) {
      const certificate = read(value, certificateShape, key);
      if (certificate.ok && this.#has(certificate.value)) return certificate.value;
    }
    return undefined;
  }

  /** A commit with the places of its blocks. */
  commit(index: number): CommitEntry | undefined {
    const value = this.#state.get(commitKey(index));
    if (value === undefined) return undefined;
    const entry = read(value, commitEntryShape, commitKey(index));
    return entry.ok ? entry.value : undefined;
  }

  /** What was accepted after a commit, up to another one, as far as it is here and as one answer takes it. */
  async batches(after: number, until: number): Promise<AcceptedBatch[]> {
    const log = this.#log.reader();
    const batches: AcceptedBatch[] = [];
    let bytes = 0;
    for (let index = after + 1; index <= until && bytes <= limits.syncBytesMax; index++) {
      const entry = this.commit(index);
      const record = entry && (await log.read(entry.record)).bytes;
      const commit = record && read(record, commitShape, "commit");
      if (record === undefined || !commit?.ok) break;
      const blocks = await this.blocksOf(index, log);
      for (const { wire } of blocks) bytes += wire.length;
      batches.push(batchOf({ commit: commit.value, digest: commitDigest(record) }, blocks));
    }
    return batches;
  }

  /** The blocks of a commit, in their order. */
  async blocksOf(index: number, log: Reader = this.#log): Promise<VerifiedBlock[]> {
    const blocks: VerifiedBlock[] = [];
    for (const position of this.commit(index)?.blocks ?? []) {
      const block = blockFromWire((await log.read(position)).bytes);
      if (block.ok) blocks.push(block.value);
    }
    return blocks;
  }
}

async function wiresOf(log: Reader, entry: CommitEntry): Promise<Uint8Array[]> {
  const wires: Uint8Array[] = [];
  for (const position of entry.blocks) wires.push((await log.read(position)).bytes);
  return wires;
}
