import { copyFile, readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import {
  type ConfigInput,
  checkedEndpoint,
  homeOf,
  isAnyAddress,
  loadGenesis,
  splitEndpoint,
} from "../app/config/index.ts";
import { ConfigError, parseWriterEntry } from "../app/genesis/index.ts";
import { checkedGenesis, createHome, genesisWriter } from "../app/setup/index.ts";
import { isPublicKey } from "../core/base/index.ts";
import { dagOf, type RuleName } from "../core/dag/index.ts";
import { type CommonOptions, homeDirectory, withHome, withOutput } from "./context.ts";
import { say, sayJson } from "./output.ts";

/** Verbs that make a host, and a network: `init`, `genesis make`. */
export function initCommands(program: Command): void {
  initCommand(program);
  genesisCommand(program);
}

function initCommand(program: Command): void {
  withOutput(
    withHome(program.command("init").description("make a home for one host: keys, guard, config")),
  )
    .option("--role <role>", "writer or reader", "reader")
    .option("--moniker <name>", "a name for people", "smalti")
    .option("--genesis <file>", "the network's genesis, copied into the home")
    .option("--listen <host:port>", "where its HTTP service listens", "127.0.0.1:8080")
    .option("--net <host:port>", "writers: where the links listen", "127.0.0.1:26656")
    .option("--external <url>", "how others reach its HTTP service, if not at --listen")
    .option("--net-external <host:port>", "writers: how others reach its links, if not at --net")
    .action(init);
}

interface InitFlags extends CommonOptions {
  readonly role: string;
  readonly moniker: string;
  readonly listen: string;
  readonly net: string;
  readonly external?: string;
  readonly netExternal?: string;
}

/** The addresses by which others reach a host. Throws USAGE where they cannot. */
function reachedAt({ listen, net, external, netExternal }: InitFlags): {
  readonly address: string;
  readonly http: string;
} {
  const [address, http] = [netExternal ?? net, external ?? `http://${listen}`];
  checkedEndpoint(listen, "--listen");
  checkedEndpoint(net, "--net");
  checkedEndpoint(address, "--net-external");
  if (!URL.canParse(http) || !/^https?:$/.test(new URL(http).protocol))
    throw new ConfigError(
      "USAGE",
      `--external takes a URL like http://host.example:8080, not ${http}`,
    );
  if (isAnyAddress(new URL(http).hostname))
    throw new ConfigError(
      "USAGE",
      `nobody reaches a host at ${http}; say how they do: --external http://host.example:8080`,
    );
  if (isAnyAddress(splitEndpoint(address).host))
    throw new ConfigError(
      "USAGE",
      `nobody reaches a host at ${address}; say how they do: --net-external host.example:26656`,
    );
  return { address, http: http.replace(/\/+$/, "") };
}

async function init(options: InitFlags): Promise<void> {
  const { role, moniker, listen, net } = options;
  if (role !== "writer" && role !== "reader")
    throw new ConfigError("USAGE", "--role takes writer or reader");
  const at = reachedAt(options);
  const home = homeOf(homeDirectory(options));
  if (options.genesis !== undefined) await loadGenesis(options.genesis);
  const links = role === "writer" ? { net: { listen: net } } : {};
  const external = options.external === undefined ? {} : { external: at.http };
  const http = { listen, ...external };
  const config: ConfigInput = { version: 1, moniker, role, ...links, http };
  const identity = await createHome(home.directory, config);
  if (options.genesis !== undefined) await copyFile(options.genesis, home.genesisFile);
  const entry = role === "writer" ? genesisWriter(moniker, identity, at) : identity;
  if (options.output === "json") return sayJson({ home: home.directory, ...entry });
  say(`home made: ${home.directory}`);
  if (role === "writer")
    say(`its entry for the genesis (smalti genesis make):\n${JSON.stringify(entry)}`);
  if (options.genesis !== undefined) return;
  say(
    `next: put the network's genesis at ${home.genesisFile}, then: smalti start --home ${home.directory}`,
  );
}

function genesisCommand(program: Command): void {
  const genesis = program.command("genesis").description("what a network starts from");
  genesis
    .command("make")
    .description("put writers' entries (from smalti init) together into a genesis")
    .requiredOption("--name <name>", "the network's name")
    .requiredOption(
      "--writer <json-file...>",
      "each writer's entry: the JSON that smalti init -o json printed",
    )
    .requiredOption(
      "--administrator <key...>",
      "public keys that may change the policy: without one, nobody could ever be granted anything",
    )
    .option("--rule <row>", "three, two or dual", "three")
    .option("--out <file>", "where", "genesis.json")
    .action(
      async (options: {
        name: string;
        writer: string[];
        administrator: string[];
        rule: string;
        out: string;
      }) => {
        const writers = await Promise.all(
          options.writer.map(async (file) => parseWriterEntry(await readFile(file, "utf8"), file)),
        );
        const administrators = options.administrator.map((key) => {
          if (!isPublicKey(key))
            throw new ConfigError("USAGE", `${key} is not a public key (64 hex digits)`);
          return key;
        });
        for (const { name, http, address } of writers) refuseUnreachable(name, http, address);
        const text = checkedGenesis({
          name: options.name,
          timeMs: Date.now(),
          ...dagOf(writers.length, { rule: ruleOf(options.rule) }),
          writers,
          administrators,
          publishers: [],
        });
        await writeFile(options.out, text, { flag: "wx" });
        say(`genesis of ${writers.length} writers written to ${resolve(options.out)}`);
      },
    );
}

/** Throws GENESIS_ADDRESS for a writer that nobody could reach. */
export function refuseUnreachable(name: string, http: string, address: string): void {
  const isHttp = URL.canParse(http) && !isAnyAddress(new URL(http).hostname);
  if (isHttp && !isAnyAddress(splitEndpoint(address).host)) return;
  throw new ConfigError(
    "GENESIS_ADDRESS",
    `the writer ${name} is named with ${http} and ${address}: nobody reaches it there; give its entry the addresses by which others do (smalti init --external, --net-external)`,
  );
}

/** A row of the table of rules. Throws USAGE. */
export function ruleOf(text: string): RuleName {
  if (text === "three" || text === "two" || text === "dual") return text;
  throw new ConfigError("USAGE", `--rule takes three, two or dual; not ${text}`);
}
