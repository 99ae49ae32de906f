import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { askJson } from "../app/client/index.ts";
import {
  ConfigError,
  type ConfigInput,
  homeOf,
  loadConfig,
  loadGenesis,
  parseWriterEntry,
  version,
} from "../app/config/index.ts";
import type { HostStatus } from "../app/gateway/index.ts";
import {
  checkedGenesis,
  createHome,
  createTestnet,
  genesisWriter,
  type Lie,
  lieKinds,
} from "../app/setup/index.ts";
import { isPublicKey } from "../core/base/index.ts";
import { defaultLeaders, defaultRule, type RuleName } from "../core/quorum/index.ts";
import { createKeyFile, type KeyRole, loadKeyFile } from "../io/files/index.ts";
import {
  type CommonOptions,
  homeDirectory,
  serversOf,
  trustOf,
  withHome,
  withOutput,
  withTrust,
} from "./context.ts";
import { exitCodeOf, exitCodes, note, say, sayJson, sayTable } from "./output.ts";

function natural(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new ConfigError("USAGE", `${text} is not a number`);
  return Number(text);
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Verbs for whoever runs a host. */
export function hostCommands(program: Command): void {
  testnetCommand(program);
  initCommand(program);
  genesisCommand(program);
  startCommand(program);
  statusCommand(program);
  keysCommands(program);
  configCommands(program);
  withOutput(
    withHome(program.command("show-node-id").description("print this host's public identity")),
  ).action(async (options: CommonOptions) => {
    const { publicKey } = await loadKeyFile(
      join(homeOf(homeDirectory(options)).keysDirectory, "node.json"),
      "node",
    );
    if (options.output === "json") sayJson({ nodeKey: publicKey });
    else say(publicKey);
  });
}

function testnetCommand(program: Command): void {
  program
    .command("testnet")
    .description("make a whole network on this machine: homes, keys, genesis")
    .option("--writers <n>", "writers (4 tolerate one traitor)", natural, 4)
    .option("--readers <n>", "readers", natural, 2)
    .option("-o, --directory <dir>", "where", "net")
    .option("--first-port <port>", "first of the ports used (default: any free ones)", natural)
    .option("--rule <row>", "three, two or dual")
    .option("--faults <f>", "Byzantine writers to tolerate", natural)
    .option(
      "--byzantine <kind@host>",
      `hosts that lie, e.g. corrupt@r1 or equivocate@w3; kinds: ${lieKinds.join(", ")}`,
      collect,
      [],
    )
    .option("--json", "print the result as JSON")
    .action(async (options: TestnetFlags) => {
      const net = await createTestnet({
        directory: options.directory,
        writers: options.writers,
        readers: options.readers,
        liars: new Map(options.byzantine.flatMap((text) => text.split(",")).map(liarOf)),
        ...(options.firstPort === undefined ? {} : { firstPort: options.firstPort }),
        ...(options.rule === undefined ? {} : { rule: ruleOf(options.rule) }),
        ...(options.faults === undefined ? {} : { faults: options.faults }),
      });
      if (options.json) return sayJson(net);
      sayTable(
        ["host", "role", "http", "home"],
        net.hosts.map((host) => [host.name, host.role, host.http, host.home]),
      );
      say(`\nstart each with      smalti start --home ${join(net.directory, "NAME")}`);
      say(`then publish with    smalti publish DIR TREE --home ${net.directory}`);
    });
}

interface TestnetFlags {
  readonly writers: number;
  readonly readers: number;
  readonly directory: string;
  readonly firstPort?: number;
  readonly rule?: string;
  readonly faults?: number;
  readonly byzantine: readonly string[];
  readonly json?: boolean;
}

function liarOf(text: string): [string, Lie] {
  const [kind, host = ""] = text.split("@");
  const lie = lieKinds.find((one) => one === kind);
  if (lie !== undefined && /^[wr]\d+$/.test(host)) return [host, lie];
  throw new ConfigError(
    "USAGE",
    `--byzantine takes KIND@HOST, as corrupt@r1; kinds: ${lieKinds.join(", ")}; not ${text}`,
  );
}

function ruleOf(text: string): RuleName {
  if (text === "three" || text === "two" || text === "dual") return text;
  throw new ConfigError("USAGE", `--rule takes three, two or dual; not ${text}`);
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
    .action(init);
}

interface InitFlags extends CommonOptions {
  readonly role: string;
  readonly moniker: string;
  readonly listen: string;
  readonly net: string;
}

async function init(options: InitFlags): Promise<void> {
  const { role, moniker, listen, net } = options;
  if (role !== "writer" && role !== "reader")
    throw new ConfigError("USAGE", "--role takes writer or reader");
  const home = homeOf(homeDirectory(options));
  if (options.genesis !== undefined) await loadGenesis(options.genesis);
  const links = role === "writer" ? { net: { listen: net } } : {};
  const config: ConfigInput = { version: 1, moniker, role, ...links, http: { listen } };
  const identity = await createHome(home.directory, config);
  if (options.genesis !== undefined) await copyFile(options.genesis, home.genesisFile);
  const at = { address: net, http: `http://${listen}` };
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
    .option("--administrator <key...>", "public keys that may change the policy", [])
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
        const preset = defaultRule(writers.length);
        const administrators = options.administrator.map((key) => {
          if (!isPublicKey(key))
            throw new ConfigError("USAGE", `${key} is not a public key (64 hex digits)`);
          return key;
        });
        const text = checkedGenesis({
          name: options.name,
          timeMs: Date.now(),
          rule: { name: ruleOf(options.rule), budget: preset.budget },
          leadersPerRound: defaultLeaders(writers.length),
          writers,
          administrators,
          publishers: [],
        });
        await writeFile(options.out, text, { flag: "wx" });
        say(`genesis of ${writers.length} writers written to ${resolve(options.out)}`);
      },
    );
}

function startCommand(program: Command): void {
  withHome(program.command("start").description("run the host of a home until SIGTERM")).action(
    async (options: CommonOptions) => {
      // The service is loaded by the verb that runs it: the others start in half the time.
      const { SplitReachedError, startNode } = await import("../app/node/index.ts");
      const stop = new Promise<undefined>((done) => {
        process.once("SIGTERM", () => done(undefined));
        process.once("SIGINT", () => done(undefined));
      });
      let failure: Error | undefined;
      do {
        const node = await startNode(homeDirectory(options));
        failure = await Promise.race([stop, node.failed]);
        if (failure === undefined) return node.stop();
        note(`smalti: ${failure.message}`);
        if (failure instanceof SplitReachedError) await node.stop();
      } while (failure instanceof SplitReachedError);
      process.exit(exitCodeOf(failure) === exitCodes.error ? exitCodes.error : exitCodeOf(failure));
    },
  );
}

function statusCommand(program: Command): void {
  withOutput(withTrust(program.command("status").description("height, root and links of hosts")))
    .option("--watch", "again every second")
    .action(async (options: CommonOptions & { watch?: boolean }) => {
      const servers = serversOf(options, await trustOf(options));
      for (;;) {
        const rows = await Promise.all(servers.map(statusRow));
        if (options.output === "json")
          sayJson(rows.map(({ server, status, error }) => ({ ...(status ?? { error }), server })));
        else showStatus(rows, options.watch === true);
        if (options.watch !== true) {
          if (rows.some((row) => row.status === undefined)) process.exitCode = exitCodes.incomplete;
          return;
        }
        await sleep(1000);
      }
    });
}

interface StatusRow {
  readonly server: string;
  readonly status: HostStatus | undefined;
  readonly error: string | undefined;
}

async function statusRow(server: string): Promise<StatusRow> {
  try {
    const json = await askJson<unknown>(`${server}/.smalti/status.json`, { patienceMs: 3000 });
    return isStatus(json)
      ? { server, status: json, error: undefined }
      : { server, status: undefined, error: "the answer is no status" };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return { server, status: undefined, error: cause?.code ?? (error as Error).message };
  }
}

/** What a table shows of a status, in the types that it needs: servers may say anything. */
function isStatus(json: unknown): json is HostStatus {
  if (typeof json !== "object" || json === null) return false;
  const { moniker, role, stateDigest, peers, height, commit, note: remark } = json as HostStatus;
  const texts: readonly unknown[] = [
    moniker,
    role,
    stateDigest,
    ...(Array.isArray(peers) ? peers : [0]),
  ];
  return (
    texts.every((text) => typeof text === "string") &&
    [height, commit].every((count) => typeof count === "number") &&
    (remark === undefined || typeof remark === "string")
  );
}

function showStatus(rows: readonly StatusRow[], isWatch: boolean): void {
  if (isWatch && process.stdout.isTTY) process.stdout.write("\u001b[2J\u001b[H");
  sayTable(
    ["host", "role", "height", "state", "commit", "round", "links", "thinks", "note"],
    rows.map(({ server, status, error }) => {
      if (status === undefined)
        return [server, "", "", "", "", "", "", "", pc.red(error ?? "no answer")];
      const { moniker, role, height, stateDigest, commit, round, peers } = status;
      const remark = status.note ?? (status.isSigning === false ? "not signing" : "");
      return [
        moniker,
        role,
        String(height),
        stateDigest.slice(0, 16),
        String(commit),
        String(round ?? ""),
        peers.join(" "),
        thoughts(status.opinions),
        remark,
      ];
    }),
  );
}

/** A row of the matrix of opinions: whom this host does not think well of. */
function thoughts(opinions: HostStatus["opinions"]): string {
  if (typeof opinions !== "object" || opinions === null) return "";
  const odd = Object.entries(opinions).filter(([, opinion]) => opinion !== "ok");
  if (odd.length === 0) return pc.green("all ok");
  return odd.map(([about, opinion]) => pc.yellow(`${about} ${String(opinion)}`)).join(", ");
}

function keysCommands(program: Command): void {
  const keys = program
    .command("keys")
    .description("key files: one key a role, 0600, never overwritten");
  withOutput(
    withHome(keys.command("gen <role>").description("make a key: publisher or administrator")),
  )
    .option("--out <file>", "where (default: the home's keys directory)")
    .action(async (role: string, options: CommonOptions & { out?: string }) => {
      if (role !== "publisher" && role !== "administrator") {
        throw new ConfigError(
          "USAGE",
          "keys gen takes publisher or administrator; a host's keys are made by smalti init",
        );
      }
      const path = resolve(
        options.out ?? join(homeOf(homeDirectory(options)).keysDirectory, `${role}.json`),
      );
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const key = await createKeyFile(path, role);
      if (options.output === "json") sayJson({ role, publicKey: key.publicKey, file: path });
      else say(`${key.publicKey}  ${path}`);
    });
  withOutput(withHome(keys.command("ls").description("the public keys of a home"))).action(
    async (options: CommonOptions) => {
      const rows = await listKeys(options);
      if (options.output === "json") sayJson(rows);
      else
        sayTable(
          ["role", "public key", "file"],
          rows.map(({ role, publicKey, file }) => [role, publicKey, file]),
        );
    },
  );
}

async function listKeys(
  options: CommonOptions,
): Promise<{ role: string; publicKey: string; file: string }[]> {
  const home = homeDirectory(options);
  const rows: { role: string; publicKey: string; file: string }[] = [];
  for (const directory of [homeOf(home).keysDirectory, join(home, "keys")]) {
    for (const name of (await readdir(directory).catch(() => []))
      .filter((file) => file.endsWith(".json"))
      .sort()) {
      const role = name.replace(/\.json$/, "") as KeyRole;
      const key = await loadKeyFile(join(directory, name), role);
      rows.push({ role, publicKey: key.publicKey, file: join(directory, name) });
    }
  }
  return rows;
}

function configCommands(program: Command): void {
  const config = program.command("config").description("a home's configuration");
  withOutput(
    withHome(
      config.command("validate").description("check config, genesis and keys without starting"),
    ),
  ).action(async (options: CommonOptions) => {
    const directory = homeDirectory(options);
    const checked = await loadConfig(directory);
    const home = homeOf(directory, checked);
    const network = await loadGenesis(home.genesisFile);
    const { publicKey } = await loadKeyFile(join(home.keysDirectory, "node.json"), "node");
    if (checked.role === "writer") {
      await loadKeyFile(join(home.keysDirectory, "block.json"), "block");
      await loadKeyFile(join(home.keysDirectory, "cosign.json"), "cosign");
    }
    const facts = {
      ok: true,
      role: checked.role,
      nodeKey: publicKey,
      group: network.group,
      writers: network.writers.length,
    };
    if (options.output === "json") sayJson(facts);
    else
      say(
        `${home.configFile}: fine (${checked.role} of ${network.genesis.name}, ${network.writers.length} writers, version ${version})`,
      );
  });
  withOutput(
    withHome(config.command("show").description("the configuration with all defaults")),
  ).action(async (options: CommonOptions) => sayJson(await loadConfig(homeDirectory(options))));
}
