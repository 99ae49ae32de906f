import { fail, InvariantError, limits, ok, type Result } from "../base/index.ts";
import type { Value } from "../codec/index.ts";
import type {
  Algorithm,
  Configuration,
  Configured,
  FaultBudget,
  MisbehaviourKind,
  Protocol,
} from "../consensus/index.ts";
import type { DagConfig } from "./block.ts";
import {
  type CommitRule,
  commitRule,
  defaultLeaders,
  defaultRule,
  fractionRule,
  type RuleName,
} from "./rows.ts";

const dagName = "dag";

/** What a genesis says of the DAG. */
export interface DagParameters {
  /** Which row of the commit rule. */
  readonly rule: RuleName;
  /** Leader slots of each round, 1 … n. */
  readonly leadersPerRound: number;
}

type MakeProtocol = (configured: Configured, config: DagConfig) => Protocol;

/** The DAG as an algorithm, with what its writers can be convicted of and how it is run. */
export function dagWith(
  misbehaviours: readonly MisbehaviourKind[],
  protocolOf: MakeProtocol,
): Algorithm {
  const algorithm: Algorithm = {
    name: dagName,
    misbehaviours,
    configure(parameters, budget) {
      const said = parametersOf(parameters);
      if (!said.ok) return said;
      const rule = commitRule(said.value.rule, budget);
      if (!rule.ok) return rule;
      const { leadersPerRound } = said.value;
      if (leadersPerRound < 1 || leadersPerRound > budget.n)
        return fail("GENESIS_LEADERS", "between one leader a round and all writers");
      return ok(new ConfiguredDag(algorithm, { rule: rule.value, leadersPerRound }, protocolOf));
    },
    configureFraction({ n }) {
      const rule = fractionRule(n);
      if (!rule.ok) return rule;
      const setting = { rule: rule.value, leadersPerRound: defaultLeaders(n) };
      return ok(new ConfiguredDag(algorithm, setting, protocolOf));
    },
  };
  return algorithm;
}

/**
 * The DAG for whoever only verifies what its writers certified: a genesis that names it can be checked, and nothing of it
 * can be run or judged. It is small.
 */
export const dagForVerifiers: Algorithm = dagWith([], (configured) => new NoProtocol(configured));

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
  return { faults: { ...budget, f, k }, consensus: { algorithm: dagName, parameters } };
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
  readonly algorithm: Algorithm;
  readonly #setting: { readonly rule: CommitRule; readonly leadersPerRound: number };
  readonly #make: MakeProtocol;

  constructor(
    algorithm: Algorithm,
    setting: { readonly rule: CommitRule; readonly leadersPerRound: number },
    make: MakeProtocol,
  ) {
    this.algorithm = algorithm;
    this.#setting = setting;
    this.#make = make;
  }

  get parameters(): DagParameters {
    const { rule, leadersPerRound } = this.#setting;
    return { rule: rule.name, leadersPerRound };
  }

  get identity(): readonly Value[] {
    const { rule, leadersPerRound } = this.#setting;
    return [[rule.name, rule.n, rule.f, rule.c, rule.k], leadersPerRound, limits.gcRounds];
  }

  protocolOf({ group, epoch, keys, startMs, batchesBefore }: Configuration): Protocol {
    return this.#make(this, {
      group,
      epoch,
      keys,
      ...this.#setting,
      genesisTimeMs: startMs,
      commitsBefore: batchesBefore,
      gcRounds: limits.gcRounds,
    });
  }
}

function unable(): never {
  throw new InvariantError("who only verifies takes no part in the order");
}

class NoProtocol implements Protocol {
  readonly configured: Configured;

  constructor(configured: Configured) {
    this.configured = configured;
  }

  get genesisDigest(): never {
    return unable();
  }
  get rangeShape(): never {
    return unable();
  }
  readonly participant = unable;
  readonly readRecord = unable;
  readonly batchOf = unable;
  readonly isVouchedFor = unable;
  readonly rangeOf = unable;
  readonly rangeValue = unable;
  readonly isEmptyRange = unable;
  readonly verifyRange = unable;
  readonly recordsFrame = unable;
  readonly rangeFrame = unable;
  readonly judge = unable;
}
