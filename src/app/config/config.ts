import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { parse, stringify } from "smol-toml";
import * as v from "valibot";
import { limits } from "../../core/base/index.ts";
import { isTreeName } from "../../core/mirror/index.ts";
import { ConfigError, issueText } from "../genesis/index.ts";

const endpoint = v.pipe(
  v.string(),
  v.regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, "expected host:port, e.g. 127.0.0.1:8080"),
  v.check((text) => Number(text.slice(text.lastIndexOf(":") + 1)) < 65536, "a port is below 65536"),
);
const url = v.pipe(v.string(), v.url("expected a URL, e.g. http://mirror.example:8080"));
const addresses = v.pipe(
  v.string(),
  v.check(isNetwork, "expected an address or a network, e.g. 127.0.0.1 or 10.0.0.0/8"),
);
const rounds = v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(1_000_000));
const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(60_000));

/** An IP address, or one with the number of bits that name its network. */
function isNetwork(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const family = isIP(address);
  const isBits =
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32));
  return family !== 0 && isBits && more.length === 0;
}

/** How a host can be made to lie, for exercises. */
export const lieKinds = ["corrupt", "stale", "equivocate", "withhold"] as const;

const schema = v.strictObject({
  version: v.literal(1, "this program reads version 1"),
  moniker: v.optional(
    v.pipe(v.string(), v.regex(/^[\w.-]{1,63}$/, "1…63 letters, digits, dots or dashes")),
    "smalti",
  ),
  role: v.picklist(["writer", "reader"]),
  /** Links between writers. */
  net: v.optional(v.strictObject({ listen: v.optional(endpoint, "127.0.0.1:26656") }), {}),
  /** Content and API, public. */
  http: v.optional(
    v.strictObject({
      listen: v.optional(endpoint, "127.0.0.1:8080"),
      /** Base URL by which clients reach this host, if a proxy stands before it. */
      external: v.optional(url),
      /** Other mirrors, for the list that this host gives out. */
      mirrors: v.optional(v.pipe(v.array(url), v.maxLength(1000)), []),
      /** Proxies of the operator's own: who connects through them is known by what they say in `X-Forwarded-For`. */
      proxies: v.optional(v.array(addresses), []),
    }),
    {},
  ),
  /** Health and metrics, never public. */
  admin: v.optional(
    v.strictObject({
      listen: v.optional(endpoint, "127.0.0.1:26660"),
      hosts: v.optional(v.array(v.string()), []),
    }),
    {},
  ),
  /** Whom a reader follows; empty: the writers of the genesis. */
  sync: v.optional(v.strictObject({ from: v.optional(v.array(url), []) }), {}),
  trust: v.optional(v.strictObject({ genesis: v.optional(v.string(), "config/genesis.json") }), {}),
  store: v.optional(v.strictObject({ dir: v.optional(v.string(), "data") }), {}),
  /** The totally ordered broadcast: who may append. */
  log: v.optional(
    v.strictObject({
      append: v.optional(v.picklist(["loopback", "anybody", "nobody"]), "loopback"),
    }),
    {},
  ),
  /** Pacing of a writer's rounds. */
  consensus: v.optional(
    v.strictObject({
      leader_timeout_ms: v.optional(milliseconds, 250),
      min_round_ms: v.optional(milliseconds, 1),
      /** In a quiet network the newest checkpoint is vouched for anew after so long. */
      lease_every_s: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3600)),
        60,
      ),
    }),
    {},
  ),
  /** What this host thinks of the other writers, and whether it says so. */
  opinion: v.optional(
    v.strictObject({
      detector: v.optional(v.picklist(["adaptive", "fixed", "rounds", "manual"]), "adaptive"),
      phi: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(15)), 8),
      suspect_after_ms: v.optional(milliseconds, 1000),
      dead_after_ms: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(86_400_000)),
        30_000,
      ),
      suspect_after_rounds: v.optional(rounds, 50),
      dead_after_rounds: v.optional(rounds, 500),
      probe_every_ms: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(60_000)),
        1000,
      ),
      publish: v.optional(v.boolean(), true),
      /** Acceptance must have stood still for so long before a split can be proposed. */
      split_after_s: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(604_800)),
        60,
      ),
    }),
    {},
  ),
  /** Which heights' content is kept; the log, directories and change lists always are. */
  retain: v.optional(
    v.strictObject({
      heights: v.optional(
        v.pipe(
          v.string(),
          v.regex(
            /^(all|[1-9]\d{0,8}[smhd]?)$/,
            'expected "all", a number of heights, or a time: "90d"',
          ),
        ),
        "all",
      ),
      /** Besides these: the last height of so many days, and of so many months (UTC). */
      daily: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(36_500)), 0),
      monthly: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1200)), 0),
      every_s: v.optional(
        v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2_000_000)),
        3600,
      ),
    }),
    {},
  ),
  /** Writers: archives elsewhere that this host looks at itself before it holds an update that says it is from there. */
  import: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          tree: v.pipe(v.string(), v.check(isTreeName, "expected a tree's name")),
          kind: v.picklist(["dir", "rsync", "http", "apt", "npm", "pypi", "git"]),
          url: v.pipe(v.string(), v.minLength(1), v.maxLength(limits.sourceUrlBytesMax)),
          /** Where this host looks instead: its own way to the same archive. */
          from: v.optional(v.string()),
          /** Places within this host's network that the source may lead to. */
          also: v.optional(v.array(v.string()), []),
        }),
      ),
      v.maxLength(256),
    ),
    [],
  ),
  logging: v.optional(
    v.strictObject({
      level: v.optional(v.picklist(["debug", "info", "warn", "error", "silent"]), "info"),
    }),
    {},
  ),
  /** For exercises only: a host that lies, so that the others can be seen to notice. */
  unsafe: v.optional(
    v.strictObject({
      lie: v.optional(v.picklist(["no", ...lieKinds]), "no"),
    }),
    {},
  ),
});

/** A host's settings, with every default filled in. */
export type Config = v.InferOutput<typeof schema>;
/** How a host is made to lie for an exercise; "no" for one that does not. */
export type LieKind = Config["unsafe"]["lie"];
/** A config as a file has it: everything that has a default may be missing. */
export type ConfigInput = v.InferInput<typeof schema>;

/** Where a host keeps its things. */
export interface Home {
  readonly directory: string;
  readonly configFile: string;
  readonly genesisFile: string;
  readonly keysDirectory: string;
  readonly dataDirectory: string;
}

/** Where the files of a home directory are. */
export function homeOf(directory: string, config?: Config): Home {
  const root = resolve(directory);
  return {
    directory: root,
    configFile: join(root, "config", "config.toml"),
    genesisFile: resolve(root, config?.trust.genesis ?? "config/genesis.json"),
    keysDirectory: join(root, "config", "keys"),
    dataDirectory: resolve(root, config?.store.dir ?? "data"),
  };
}

/** Settings of the environment that override the file: `SMALTI_<TABLE>_<KEY>`, e.g. SMALTI_HTTP_LISTEN. */
function withEnvironment(
  input: Record<string, unknown>,
  environment: NodeJS.ProcessEnv,
): Record<string, unknown> {
  const merged = structuredClone(input);
  for (const [name, value] of Object.entries(environment)) {
    const [, table, key] =
      /^SMALTI_(NET|HTTP|ADMIN|TRUST|STORE|LOG|LOGGING)_([A-Z_]+)$/.exec(name) ?? [];
    if (table === undefined || key === undefined || value === undefined) continue;
    const section = (merged[table.toLowerCase()] ?? {}) as Record<string, unknown>;
    merged[table.toLowerCase()] = { ...section, [key.toLowerCase()]: value };
  }
  return merged;
}

/** Checks a config from its TOML text. Throws CONFIG_MALFORMED, naming the setting. */
export function parseConfig(
  text: string,
  source: string,
  environment: NodeJS.ProcessEnv = {},
): Config {
  let input: Record<string, unknown>;
  try {
    input = parse(text);
  } catch (error) {
    throw new ConfigError(
      "CONFIG_MALFORMED",
      `${source} is not TOML: ${error instanceof Error ? error.message : error}`,
    );
  }
  const parsed = v.safeParse(schema, withEnvironment(input, environment));
  if (!parsed.success)
    throw new ConfigError("CONFIG_MALFORMED", `${source}: ${issueText(parsed.issues)}`);
  return parsed.output;
}

/** {@link parseConfig} of a home, with the process's environment. */
export async function loadConfig(directory: string): Promise<Config> {
  const { configFile } = homeOf(directory);
  let text: string;
  try {
    text = await readFile(configFile, "utf8");
  } catch (error) {
    refuseUnreadable(configFile, error);
    throw new ConfigError(
      "CONFIG_MISSING",
      `no config at ${configFile}; make one with: smalti init --home ${directory}`,
    );
  }
  return parseConfig(text, configFile, process.env);
}

/** What is there and may not be read is not missing: to make it anew would harm. Throws CONFIG_UNREADABLE. */
export function refuseUnreadable(path: string, error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOENT" && code !== "ENOTDIR")
    throw new ConfigError(
      "CONFIG_UNREADABLE",
      `${path} cannot be read (${String(code)}); mend its rights, or run as the user whose it is`,
    );
}

/** An endpoint that a flag gives. Throws USAGE. */
export function checkedEndpoint(text: string, flag: string): string {
  const checked = v.safeParse(endpoint, text);
  if (!checked.success)
    throw new ConfigError("USAGE", `${flag} ${text}: ${issueText(checked.issues)}`);
  return checked.output;
}

/** True for an address at which a host listens everywhere, and at which nobody reaches it. */
export function isAnyAddress(host: string): boolean {
  return /^\[?(0\.0\.0\.0|[0:]+)\]?$/.test(host);
}

/** The TOML text of a config. */
export function formatConfig(config: ConfigInput): string {
  return stringify(config);
}

/** Host and port of `host:port`, `[v6]:port` or `:port`. Throws CONFIG_*. */
export function splitEndpoint(endpoint: string): { readonly host: string; readonly port: number } {
  const colon = endpoint.lastIndexOf(":");
  return {
    host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ""),
    port: Number(endpoint.slice(colon + 1)),
  };
}
