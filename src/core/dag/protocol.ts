import { type Author, assert, type Digest, fail, limits, ok, type Result } from "../base/index.ts";
import { read, type Shape, type Value } from "../codec/index.ts";
import type {
  AcceptedBatch,
  Algorithm,
  BatchPoint,
  CertifiedBatch,
  Configuration,
  Configured,
  Consensus,
  FaultBudget,
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
import {
  type CommitRule,
  commitRule,
  defaultLeaders,
  defaultRule,
  fractionRule,
  type RuleName,
} from "./rows.ts";

/** What a genesis says of the DAG. */
export interface DagParameters {
  /** Which row of the commit rule. */
  readonly rule: RuleName;
  /** Leader slots of each round, 1 … n. */
  readonly leadersPerRound: number;
}

/** The default algorithm: an uncertified DAG of blocks, of which votes are read off. */
export const dag: Algorithm = {
  name: "dag",
  misbehaviours: dagMisbehaviours,
  configure(parameters, budget) {
    const said = parametersOf(parameters);
    if (!said.ok) return said;
    const rule = commitRule(said.value.rule, budget);
    if (!rule.ok) return rule;
    const { leadersPerRound } = said.value;
    if (leadersPerRound < 1 || leadersPerRound > budget.n)
      return fail("GENESIS_LEADERS", "between one leader a round and all writers");
    return ok(new ConfiguredDag(rule.value, leadersPerRound));
  },
  configureFraction({ n }) {
    const rule = fractionRule(n);
    return rule.ok ? ok(new ConfiguredDag(rule.value, defaultLeaders(n))) : rule;
  },
};

/** What a genesis says for a committee of `n` that runs the DAG: f of 3f+1, and leaders enough for its size. */
export function dagOf(
  n: number,
  wanted: { readonly rule?: RuleName; readonly f?: number; readonly k?: number } = {},
): {
  readonly faults: FaultBudget;
  readonly consensus: { readonly algorithm: string; readonly parameters: DagParameters };
} {
  const { name, budget } = defaultRule(n);
  const { rule = name, f = budget.f, k = budget.k } = wanted;
  const parameters = { rule, leadersPerRound: defaultLeaders(n) };
  return { faults: { ...budget, f, k }, consensus: { algorithm: dag.name, parameters } };
}

/** Faults: GENESIS_CONSENSUS. */
function parametersOf(value: unknown): Result<DagParameters> {
  const { rule, leadersPerRound, ...others } = Object(value) as Record<string, unknown>;
  const isRule = rule === "three" || rule === "two" || rule === "dual";
  if (!isRule) return fail("GENESIS_CONSENSUS", "the rule of a dag is three, two or dual");
  if (typeof leadersPerRound !== "number" || !Number.isInteger(leadersPerRound))
    return fail("GENESIS_CONSENSUS", "leadersPerRound of a dag is a number");
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    return fail("GENESIS_CONSENSUS", `a dag has no parameter ${JSON.stringify(unknown)}`);
  return ok({ rule, leadersPerRound });
}

class ConfiguredDag implements Configured {
  readonly algorithm = dag;
  readonly rule: CommitRule;
  readonly #leadersPerRound: number;

  constructor(rule: CommitRule, leadersPerRound: number) {
    this.rule = rule;
    this.#leadersPerRound = leadersPerRound;
  }

  get parameters(): DagParameters {
    return { rule: this.rule.name, leadersPerRound: this.#leadersPerRound };
  }

  get identity(): readonly Value[] {
    const { name, n, f, c, k } = this.rule;
    return [[name, n, f, c, k], this.#leadersPerRound, limits.gcRounds];
  }

  protocolOf({ group, epoch, keys, startMs, batchesBefore }: Configuration): Protocol {
    const config: DagConfig = {
      group,
      epoch,
      keys,
      rule: this.rule,
      leadersPerRound: this.#leadersPerRound,
      genesisTimeMs: startMs,
      commitsBefore: batchesBefore,
      gcRounds: limits.gcRounds,
    };
    return new DagProtocol(this, config) as unknown as Protocol;
  }
}

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
