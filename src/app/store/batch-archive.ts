import { assert, defined, limits } from "../../core/base/index.ts";
import {
  encode,
  fields,
  list,
  natural,
  read,
  type Shape,
  type Value,
} from "../../core/codec/index.ts";
import type {
  AcceptedBatch,
  BatchRange,
  Certificate,
  LoggedBatch,
  LogRecord,
  Protocol,
} from "../../core/consensus/index.ts";
import type { Position, RecordLog, StateStore } from "../../io/ports/index.ts";
import { logKeys } from "./keys.ts";

/** A certificate is kept after so many commits or payload bytes, so that every range that is asked for has one. */
const certificateEvery = { batches: 50, bytes: 1 << 20 };

/** Batches in one answer: a host that is behind catches up faster than the others go on. */
const farMax = 500;

type Reader = Pick<RecordLog, "read">;
type Logged = Awaited<ReturnType<Reader["read"]>>;

/** Where the record that completes a batch and its parts stand in the log. */
export interface BatchEntry {
  readonly record: Position;
  readonly parts: readonly Position[];
}

const positionShape: Shape<Position> = (value, what) => {
  const [segment, offset] = fields(2)(value, what);
  return {
    segment: natural()(segment, `${what}.segment`),
    offset: natural()(offset, `${what}.offset`),
  };
};

const batchEntryShape: Shape<BatchEntry> = (value, what) => {
  const [record, parts] = fields(2)(value, what);
  return {
    record: positionShape(record, `${what}.record`),
    parts: list(positionShape, limits.commitBlocksMax)(parts, `${what}.parts`),
  };
};

const positionValue = ({ segment, offset }: Position): Value => [segment, offset];

/** The entry of a batch in the state store. */
export function batchEntry(index: number, { record, parts }: BatchEntry): [string, Uint8Array] {
  return [logKeys.batch(index), encode([positionValue(record), parts.map(positionValue)])];
}

/** Batches and what certifies them: what readers and lagging writers ask for. */
export class BatchArchive {
  readonly #state: StateStore;
  readonly #log: RecordLog;
  #protocol: Protocol | undefined;
  #tip: Certificate | undefined;
  /** The newest certificate, though what it certifies may not be here yet. */
  #newest: Certificate | undefined;
  #ends: readonly number[] = [];
  /** Bytes that were logged since the last certificate that was kept. */
  #sinceCertificate = 0;
  #lastKept: number | undefined;

  constructor(state: StateStore, log: RecordLog) {
    this.#state = state;
    this.#log = log;
  }

  /** How records read, and the batches with which groups end that split: what follows is another group's. */
  use(protocol: Protocol, ends: readonly number[]): void {
    this.#protocol = protocol;
    this.#ends = ends;
  }

  get #reads(): Protocol {
    return defined(this.#protocol, "the archive is used once the host knows its network");
  }

  /** So many bytes were logged. */
  logged(bytes: number): void {
    this.#sinceCertificate += bytes;
  }

  /** What it certifies may come later, where it comes with a part of the chain. */
  keepCertificate(certificate: Certificate): void {
    const { index } = certificate;
    assert(index > 0, "a certificate is of a batch");
    if (index > (this.#newest?.index ?? 0)) this.#newest = certificate;
    this.#lastKept ??= this.#newestKept();
    const batches = index - this.#lastKept;
    if (batches < certificateEvery.batches && this.#sinceCertificate < certificateEvery.bytes)
      return;
    this.#sinceCertificate = 0;
    this.#lastKept = index;
    this.#state.write([[logKeys.certificate(index), certificate.bytes]]);
  }

  #newestKept(): number {
    const range = {
      start: logKeys.certificate(0),
      end: logKeys.certificate(2 ** 47),
      reverse: true,
      limit: 1,
    };
    for (const [key] of this.#state.range(range)) return indexOf(key);
    return 0;
  }

  /** The newest certificate of which the batches are here. */
  get tip(): Certificate | undefined {
    if (this.#newest !== this.#tip && this.#has(this.#newest)) this.#tip = this.#newest;
    return this.#tip;
  }

  #has(certificate: Certificate | undefined): boolean {
    return certificate !== undefined && this.#entry(certificate.index) !== undefined;
  }

  /**
   * Batches after `after`, and what certifies the last of them: with their parts as many as one answer takes, then the
   * chain to the certificate. Empty where nothing after it is certified here.
   */
  async range(after: number): Promise<BatchRange> {
    for (const certificate of this.#certificatesFor(after)) {
      const end = this.#ends.find((index) => index > after);
      // What ends a group is certified by the document that founds the next one.
      const isEnd = end !== undefined && end <= certificate.index;
      const batches = await this.#between(after, isEnd ? end : certificate.index);
      const range = batches && this.#reads.rangeOf(batches, isEnd ? undefined : certificate.bytes);
      if (range?.ok) return range.value;
    }
    const none = this.#reads.rangeOf([], undefined);
    assert(none.ok, "an empty range reads nothing");
    return none.value;
  }

  /** `undefined` where something is missing, or the chain is too long for an answer. */
  async #between(after: number, last: number): Promise<LoggedBatch[] | undefined> {
    const log = this.#log.reader();
    const batches: LoggedBatch[] = [];
    let [bytes, chainBytes] = [0, 0];
    if (last - after > limits.syncCommitsMax) return undefined;
    for (let index = after + 1; index <= last; index++) {
      const entry = this.#entry(index);
      if (entry === undefined) return undefined;
      const { bytes: record } = await log.read(entry.record);
      chainBytes += record.length;
      if (chainBytes > limits.syncBytesMax) return undefined;
      const isFull = batches.length > 0 && bytes > limits.syncBytesMax;
      const parts = isFull ? undefined : await partsOf(log, entry);
      for (const part of parts ?? []) bytes += part.bytes.length;
      batches.push({ record, parts: parts?.map((part) => part.bytes) });
    }
    return batches;
  }

  /** The farthest certificate that an answer reaches, and the next one, should the way to the first be too long. */
  #certificatesFor(after: number): Certificate[] {
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
  }): Certificate | undefined {
    const { after, until, reverse } = of;
    const between = {
      start: logKeys.certificate(after + 1),
      end: logKeys.certificate(until + 1),
    };
    for (const [key, bytes] of this.#state.range({ ...between, reverse, limit: 1 })) {
      const certificate = { index: indexOf(key), bytes };
      if (this.#has(certificate)) return certificate;
    }
    return undefined;
  }

  /** Where a batch stands, if it is here. */
  #entry(index: number): BatchEntry | undefined {
    const value = this.#state.get(logKeys.batch(index));
    if (value === undefined) return undefined;
    const entry = read(value, batchEntryShape, logKeys.batch(index));
    return entry.ok ? entry.value : undefined;
  }

  /** What was accepted after a batch, up to another one, as far as it is here and as one answer takes it. */
  async batches(after: number, until: number): Promise<AcceptedBatch[]> {
    const log = this.#log.reader();
    const batches: AcceptedBatch[] = [];
    let bytes = 0;
    for (let index = after + 1; index <= until && bytes <= limits.syncBytesMax; index++) {
      const found = await this.#batch(index, log);
      if (found === undefined) break;
      bytes += found.bytes;
      batches.push(found.batch);
    }
    return batches;
  }

  /** What was accepted at one place; `undefined` where it is not here, or cannot be read. */
  async batch(index: number): Promise<AcceptedBatch | undefined> {
    return (await this.#batch(index, this.#log))?.batch;
  }

  async #batch(
    index: number,
    log: Reader,
  ): Promise<{ readonly batch: AcceptedBatch; readonly bytes: number } | undefined> {
    const entry = this.#entry(index);
    if (entry === undefined) return undefined;
    const logged = [await log.read(entry.record), ...(await partsOf(log, entry))];
    const records: LogRecord[] = [];
    let bytes = 0;
    for (const one of logged) {
      const record = this.#reads.readRecord(one.type, one.bytes);
      if (!record.ok) return undefined;
      bytes += one.bytes.length;
      records.push(record.value);
    }
    const [last, ...parts] = records;
    return last && { batch: this.#reads.batchOf(last, parts), bytes };
  }
}

/** The index in a key of {@link logKeys.batch} or {@link logKeys.certificate}. */
function indexOf(key: string): number {
  return Number.parseInt(key.slice(key.indexOf("/") + 1), 16);
}

async function partsOf(log: Reader, entry: BatchEntry): Promise<readonly Logged[]> {
  const parts: Logged[] = [];
  for (const position of entry.parts) parts.push(await log.read(position));
  return parts;
}
