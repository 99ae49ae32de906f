import * as v from "valibot";
import { fromBase64, isPublicKey, type PublicKey, toBase64 } from "../../core/base/index.ts";
import {
  type Genesis,
  type GenesisWriter,
  type Network,
  networkOf,
} from "../../core/committee/index.ts";
import type { Algorithm } from "../../core/consensus/index.ts";
import { Ed25519Verifier } from "../../core/crypto/index.ts";
import { fractionOf, readGroup } from "../../core/split/index.ts";
import { ConfigError, issueText } from "./config-error.ts";

const key = v.custom<PublicKey>(isPublicKey, "64 lower-case hex digits");
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const writerSchema = v.object({
  name: v.string(),
  nodeKey: key,
  blockKey: key,
  cosignKey: key,
  address: v.string(),
  http: v.string(),
});

const faultsSchema = v.strictObject({ n: count, f: count, c: count, k: count });

const common = {
  name: v.string(),
  timeMs: count,
  writers: v.pipe(v.array(writerSchema), v.minLength(1)),
  administrators: v.array(key),
  publishers: v.array(
    v.strictObject({
      key,
      name: v.string(),
      trees: v.array(v.string()),
      perHour: v.optional(count),
    }),
  ),
  /** Founding documents of the groups that were followed through splits, the oldest first; base64. */
  splits: v.optional(v.array(v.string()), []),
};

/** The form of version 1, which knew the DAG alone. */
const dagOnly = v.pipe(
  v.strictObject({
    version: v.literal(1),
    ...common,
    rule: v.strictObject({ name: v.string(), budget: faultsSchema }),
    leadersPerRound: count,
  }),
  v.transform(({ version: _, rule, leadersPerRound, ...others }) => ({
    ...others,
    faults: rule.budget,
    consensus: { algorithm: "dag", parameters: { rule: rule.name, leadersPerRound } },
  })),
);

const current = v.pipe(
  v.strictObject({
    version: v.literal(2),
    ...common,
    faults: faultsSchema,
    consensus: v.strictObject({ algorithm: v.string(), parameters: v.unknown() }),
  }),
  v.transform(({ version: _, ...genesis }) => genesis),
);

const genesisSchema = v.variant("version", [dagOnly, current]);

/** Reads and checks a genesis from its JSON text, which may name one of these algorithms. Throws GENESIS_*, RULE_*. */
export function readGenesis(
  text: string,
  source: string,
  algorithms: readonly Algorithm[],
): Network {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError("GENESIS_MALFORMED", `${source} is not JSON: ${String(error)}`);
  }
  const parsed = v.safeParse(genesisSchema, json);
  if (!parsed.success)
    throw new ConfigError("GENESIS_MALFORMED", `${source}: ${issueText(parsed.issues)}`);
  const { splits, ...genesis } = parsed.output;
  const network = networkOf(genesis, algorithms);
  if (!network.ok) throw new ConfigError(network.error.code, `${source}: ${network.error.detail}`);
  return splits.reduce((parent, split) => fractionIn(parent, split, source), network.value);
}

/** The group that a founding document makes of a network. Throws GENESIS_SPLIT. */
function fractionIn(parent: Network, split: string, source: string): Network {
  const wire = fromBase64(split) ?? new Uint8Array(0);
  const group = readGroup(wire, { network: parent, verifier: new Ed25519Verifier() });
  const fraction = group.ok ? fractionOf(parent, group.value) : group;
  if (fraction.ok) return fraction.value;
  throw new ConfigError(
    "GENESIS_SPLIT",
    `${source}: a split does not verify: ${fraction.error.detail}`,
  );
}

/** Founding documents in the text of a genesis. */
export function splitsIn(text: string): readonly Uint8Array[] {
  const { splits } = JSON.parse(text) as { splits?: unknown };
  if (!Array.isArray(splits)) return [];
  return splits.flatMap((split) => fromBase64(String(split)) ?? []);
}

/** The text of a genesis that follows one of two groups further. */
export function withSplit(text: string, split: Uint8Array): string {
  const json = JSON.parse(text) as { splits?: unknown };
  const before = Array.isArray(json.splits) ? json.splits : [];
  return `${JSON.stringify({ ...json, splits: [...before, toBase64(split)] }, null, 2)}\n`;
}

/** One writer's entry, as `smalti init -o json` prints it. Throws GENESIS_MALFORMED. */
export function parseWriterEntry(text: string, source: string): GenesisWriter {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), writerSchema), text);
  if (!parsed.success)
    throw new ConfigError("GENESIS_MALFORMED", `${source}: ${issueText(parsed.issues)}`);
  return parsed.output;
}

/** The JSON text of a genesis. */
export function formatGenesis(genesis: Genesis): string {
  return `${JSON.stringify({ version: 2, ...genesis }, null, 2)}\n`;
}
