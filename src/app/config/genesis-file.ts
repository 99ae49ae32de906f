import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { isPublicKey, type PublicKey } from "../../core/base/index.ts";
import {
  type Genesis,
  type GenesisWriter,
  type Network,
  networkOf,
} from "../../core/membership/index.ts";
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

const genesisSchema = v.strictObject({
  version: v.literal(1),
  name: v.string(),
  timeMs: count,
  rule: v.strictObject({
    name: v.picklist(["three", "two", "dual"]),
    budget: v.strictObject({ n: count, f: count, c: count, k: count }),
  }),
  leadersPerRound: count,
  writers: v.pipe(v.array(writerSchema), v.minLength(1)),
  administrators: v.array(key),
  publishers: v.array(v.strictObject({ key, name: v.string(), trees: v.array(v.string()) })),
});

/** Reads and checks a genesis from its JSON text. Throws GENESIS_*, RULE_*. */
export function parseGenesis(text: string, source: string): Network {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError("GENESIS_MALFORMED", `${source} is not JSON: ${String(error)}`);
  }
  const parsed = v.safeParse(genesisSchema, json);
  if (!parsed.success)
    throw new ConfigError("GENESIS_MALFORMED", `${source}: ${issueText(parsed.issues)}`);
  const network = networkOf(parsed.output);
  if (!network.ok) throw new ConfigError(network.error.code, `${source}: ${network.error.detail}`);
  return network.value;
}

/** One writer's entry, as `smalti init -o json` prints it. Throws GENESIS_MALFORMED. */
export function parseWriterEntry(text: string, source: string): GenesisWriter {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), writerSchema), text);
  if (!parsed.success)
    throw new ConfigError("GENESIS_MALFORMED", `${source}: ${issueText(parsed.issues)}`);
  return parsed.output;
}

/** {@link parseGenesis} from a file. */
export async function loadGenesis(path: string): Promise<Network> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    throw new ConfigError(
      "GENESIS_MISSING",
      `no genesis at ${path}; copy the network's genesis.json there`,
    );
  }
  return parseGenesis(text, path);
}

/** The JSON text of a genesis. */
export function formatGenesis(genesis: Genesis): string {
  return `${JSON.stringify({ version: 1, ...genesis }, null, 2)}\n`;
}
