import { Author, type Digest, fail, ok, StepBuilder } from "../../src/core/base/index.ts";
import { decode, encode, list, bytes as shape, type Value } from "../../src/core/codec/index.ts";
import type * as Contract from "../../src/core/consensus/index.ts";
import { segmentValue } from "../../src/core/consensus/index.ts";
import { signingBytes, taggedDigest } from "../../src/core/crypto/index.ts";

/** A batch as the leader numbers it: `[[index, digest before, time, author, segment], signature]`. */
type Entry = readonly [number, Uint8Array, number, Author, [number, Uint8Array, Uint8Array]];
type Range = readonly Uint8Array[];
type Point = Pick<Contract.AcceptedBatch, "index" | "digest" | "tsMs">;
const digestOf = (body: Uint8Array): Digest => taggedDigest("commit", body);
const read = <T>(wire: Uint8Array): T => {
  const decoded = decode(wire);
  if (!decoded.ok) throw new Error(decoded.error.detail);
  return decoded.value as T;
};

function batchOf(record: Uint8Array, tickets: readonly number[] = []): Contract.AcceptedBatch {
  const [body] = read<[Uint8Array, Uint8Array]>(record);
  const [index, , tsMs, author, [kind, lengths, data]] = read<Entry>(body);
  const payload = { author: Author(author), segments: [{ kind, lengths, data }], tickets };
  return { index, digest: digestOf(body), tsMs, payloads: [payload] };
}

function recordOf(record: Uint8Array): Contract.LogRecord {
  return { type: 1, bytes: record, batch: { index: batchOf(record).index, parts: [] } };
}

/** The first writer numbers what all submit, and everybody believes it: the least that can stand behind the contract. */
export const sequencer: Contract.Algorithm = {
  name: "sequencer",
  misbehaviours: [],
  configure: () => ok(configured),
  configureFraction: () => ok(configured),
};

const configured: Contract.Configured = {
  algorithm: sequencer,
  parameters: {},
  identity: ["sequencer"],
  protocolOf: (configuration) => protocolOf(configuration) as unknown as Contract.Protocol,
};

function protocolOf({ group, keys, startMs }: Contract.Configuration): Contract.Protocol<Range> {
  const genesisDigest = taggedDigest("commit", Buffer.from(group, "hex"));
  const genesis = { index: 0, digest: genesisDigest, tsMs: startMs };
  return {
    configured,
    genesisDigest,
    participant: (parts) => new Participant(parts, genesis),
    readRecord: (_, record) => ok(recordOf(record)),
    batchOf: (record) => batchOf(record.bytes),
    isVouchedFor: () => true,
    rangeOf: (batches) => ok(batches.map(({ record }) => record)),
    rangeValue: (range) => [...range],
    rangeShape: list(shape(2 ** 21), 512),
    isEmptyRange: (range) => range.length === 0,
    verifyRange: (range, after, { verifier, until }) => {
      let last: Contract.BatchPoint = after;
      const later = range.filter((one) => batchOf(one).index > after.index);
      const fresh = later.filter((one) => batchOf(one).index <= (until?.index ?? Infinity));
      for (const record of fresh) {
        const [body, signature] = read<[Uint8Array, Uint8Array]>(record);
        const [index, prev] = read<Entry>(body);
        const follows = index === last.index + 1 && Buffer.from(last.digest, "hex").equals(prev);
        const message = signingBytes("block", digestOf(body));
        if (!follows || !keys[0] || !verifier.verify(keys[0], message, signature))
          return fail("BROKEN_CHAIN", `batch ${index} is not what the leader put there`);
        last = batchOf(record);
      }
      const batches = fresh.map((one) => ({ batch: batchOf(one), records: [recordOf(one)] }));
      const [bytes] = until ? [] : fresh.slice(-1);
      return ok({ batches, certificate: bytes && { index: last.index, bytes } });
    },
    recordsFrame: () => encode([0xf1]),
    rangeFrame: (range) => encode([0xf2, [...range]]),
    judge: () => fail("NOT_PROVEN", "the leader is trusted"),
  };
}

class Participant implements Contract.Consensus {
  readonly isCurrent = true;
  readonly horizon = 0;
  readonly #parts: Contract.ParticipantParts;
  readonly #own: Contract.Submission[] = [];
  #last: Point;
  #made = new StepBuilder<Contract.ConsensusRecord, Contract.ConsensusEffect>();

  constructor(parts: Contract.ParticipantParts, genesis: Point) {
    this.#parts = parts;
    this.#last = parts.records.map(({ bytes: record }) => batchOf(record)).at(-1) ?? genesis;
  }

  get progress(): Contract.Consensus["progress"] {
    const { index } = this.#last;
    return { round: index, lastCommit: index, isWanted: this.#own.length > 0 };
  }
  get vitals(): Contract.Consensus["vitals"] {
    const { round, lastCommit } = this.progress;
    const none = { returning: undefined, pendingBytes: 0, own: {}, bounds: {} };
    return { round, lastCommit, quorumCommit: round, isSigning: true, isPaused: false, ...none };
  }
  readonly recent = (): undefined => undefined;
  readonly isMessage = ([, kind, code = 0]: Uint8Array): boolean => kind === 0x18 && code >= 0xf0;
  readonly look = (): Contract.ConsensusStep => new StepBuilder();

  step(input: Contract.ConsensusInput, nowMs: number): Contract.ConsensusStep {
    this.#made = new StepBuilder();
    if (input.type === "peer-up") this.#send(input.peer, [0xf0]);
    else if (input.type === "submit") this.#submit(input, nowMs);
    else if (input.type === "message") this.#hear(input.peer, read(input.frame), nowMs);
    return this.#made;
  }

  #send(peer: Author, message: Value): void {
    this.#made.effects.push({ type: "send", peer, frame: encode(message) });
  }

  #submit(submission: Contract.Submission, nowMs: number): void {
    this.#own.push(submission);
    if (this.#parts.author === 0) this.#order(Author(0), segmentValue(submission.segment), nowMs);
    else this.#send(Author(0), [0xf3, segmentValue(submission.segment)]);
  }

  #hear(peer: Author, [code, said]: [number, Value & Uint8Array], nowMs: number): void {
    if (code === 0xf0) this.#made.effects.push({ type: "greeted", peer });
    else if (code === 0xf3) this.#order(peer, said, nowMs);
    else if (peer === 0) this.#accept(said);
  }

  #order(author: Author, segment: Value, nowMs: number): void {
    const { index, digest, tsMs } = this.#last;
    const before = Buffer.from(digest, "hex");
    const body = encode([index + 1, before, Math.max(tsMs, nowMs), author, segment]);
    const record = encode([body, this.#parts.sign(signingBytes("block", digestOf(body)))]);
    this.#made.effects.push({ type: "broadcast", frame: encode([0xf4, record]) });
    this.#accept(record);
  }

  #accept(record: Uint8Array): void {
    const isOwn = batchOf(record).payloads[0]?.author === this.#parts.author;
    const batch = batchOf(record, isOwn ? [this.#own.shift()?.ticket ?? 0] : []);
    this.#last = batch;
    this.#made.records.push({ type: "log", record: recordOf(record) });
    this.#made.effects.push({ type: "accept", batch });
    const certificate = { index: batch.index, bytes: record };
    this.#made.effects.push({ type: "certificate", certificate });
  }
}
