import { type Author, assert, type Digest, ok, type Result } from "../base/index.ts";
import { read, type Shape, type Value } from "../codec/index.ts";
import type {
  AcceptedBatch,
  Algorithm,
  BatchPoint,
  CertifiedBatch,
  Configured,
  Consensus,
  Finding,
  LoggedBatch,
  LogRecord,
  ParticipantParts,
  Protocol,
} from "../consensus/index.ts";
import type { Verifier } from "../crypto/index.ts";
import type { DagConfig } from "./block.ts";
import { DagCertificate, readCertificate } from "./certificate.ts";
import { commitShape, genesisCommitDigest } from "./commit.ts";
import {
  type CertifiedCommit,
  type CommitRange,
  commitRangeShape,
  commitRangeValue,
  type RangeCommit,
  verifyCommitRange,
} from "./commit-range.ts";
import { dagWith } from "./configure.ts";
import { encodeDagMessage } from "./messages.ts";
import { type DagMisbehaviour, dagMisbehaviours, judgeDag } from "./misbehaviour.ts";
import { DagParticipant } from "./participant.ts";
import {
  batchOf,
  blockOf,
  blockRecord,
  commitOf,
  commitRecord,
  loggedBatch,
  readDagRecord,
} from "./records.ts";

/** The default algorithm: an uncertified DAG of blocks, of which votes are read off. */
export const dag: Algorithm = dagWith(
  dagMisbehaviours,
  (configured, config) => new DagProtocol(configured, config) as unknown as Protocol,
);

/** The DAG among the writers of one configuration. */
class DagProtocol implements Protocol<CommitRange, DagMisbehaviour> {
  readonly configured: Configured;
  readonly config: DagConfig;
  readonly genesisDigest: Digest;
  readonly rangeShape: Shape<CommitRange> = commitRangeShape;

  constructor(configured: Configured, config: DagConfig) {
    this.configured = configured;
    this.config = config;
    this.genesisDigest = genesisCommitDigest(config.group, config.epoch);
  }

  participant(parts: ParticipantParts): Consensus {
    return new DagParticipant(this.config, parts);
  }

  readRecord(type: number, bytes: Uint8Array): Result<LogRecord> {
    return readDagRecord(type, bytes);
  }

  batchOf(record: LogRecord, parts: readonly LogRecord[]): AcceptedBatch {
    return loggedBatch(record, parts);
  }

  /** The guard remembers a round above the horizon that no logged block reaches: the log lost what was signed. */
  isVouchedFor(
    records: readonly LogRecord[],
    { guard, self }: { readonly guard: number; readonly self: Author },
  ): boolean {
    const commits = records.flatMap((record) => commitOf(record) ?? []);
    const horizon = (commits.at(-1)?.leader.round ?? 0) - this.config.gcRounds;
    const own = records.flatMap((record) => {
      const ref = blockOf(record)?.ref;
      return ref?.author === self ? [ref.round] : [];
    });
    return guard <= own.reduce((most, round) => Math.max(most, round), Math.max(0, horizon));
  }

  rangeOf(
    batches: readonly LoggedBatch[],
    certificate: Uint8Array | undefined,
  ): Result<CommitRange> {
    const commits: RangeCommit[] = [];
    for (const { record, parts } of batches) {
      const commit = read(record, commitShape, "commit");
      if (!commit.ok) return commit;
      commits.push({ commit: commit.value, blocks: parts });
    }
    if (certificate === undefined) return ok({ commits, voters: [] });
    const endorsed = readCertificate(certificate);
    return endorsed.ok ? ok({ commits, voters: endorsed.value.voters }) : endorsed;
  }

  rangeValue(range: CommitRange): Value {
    return commitRangeValue(range);
  }

  isEmptyRange({ commits }: CommitRange): boolean {
    return commits.length === 0;
  }

  verifyRange(
    range: CommitRange,
    after: BatchPoint,
    { verifier, until }: { readonly verifier: Verifier; readonly until?: BatchPoint },
  ): ReturnType<Protocol["verifyRange"]> {
    const last = until?.index ?? Number.POSITIVE_INFINITY;
    const commits = range.commits.filter(
      ({ commit }) => commit.index > after.index && commit.index <= last,
    );
    if (commits.length === 0) return ok({ batches: [], certificate: undefined });
    const verified = verifyCommitRange({ ...range, commits }, after, {
      config: this.config,
      verifier,
      ...(until === undefined ? {} : { known: until }),
    });
    if (!verified.ok) return verified;
    const { certificate } = verified.value;
    return ok({
      batches: verified.value.commits.map(certifiedBatch),
      // Nobody looked at the votes for what is known to be certified.
      certificate: certificate.index === until?.index ? undefined : new DagCertificate(certificate),
    });
  }

  recordsFrame(wires: readonly Uint8Array[]): Uint8Array {
    return encodeDagMessage({ type: "blocks", wires });
  }

  rangeFrame(range: CommitRange): Uint8Array {
    return encodeDagMessage({ type: "range", range });
  }

  judge(proof: DagMisbehaviour, verifier: Verifier): Result<Finding> {
    return judgeDag(proof, { config: this.config, verifier });
  }
}

function certifiedBatch({ commit, bytes, digest, blocks }: CertifiedCommit): CertifiedBatch {
  return {
    batch: batchOf({ commit, digest }, blocks),
    records: [...blocks.map(blockRecord), commitRecord(commit, bytes)],
  };
}

/** The DAG's configuration of a protocol that is one. */
export function dagConfigOf({ consensus }: { readonly consensus: Protocol }): DagConfig {
  const protocol: unknown = consensus;
  assert(protocol instanceof DagProtocol, "the network's algorithm is the dag");
  return protocol.config;
}
