import { mkdir, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { homeOf, lieKinds, loadConfig, loadGenesis, version } from "../app/config/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import type { Outside } from "../app/node/index.ts";
import { createTestnet, type Lie } from "../app/setup/index.ts";
import { createKeyFile, type KeyRole, loadKeyFile } from "../io/files/index.ts";
import { type CommonOptions, homeDirectory, withHome, withOutput } from "./context.ts";
import { initCommands, refuseUnreachable, ruleOf } from "./init-commands.ts";
import { exitCodeOf, exitCodes, note, say, sayJson, sayTable } from "./output.ts";
import { statusCommand } from "./status-command.ts";

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
  initCommands(program);
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
      const home = homeDirectory(options);
      do {
        const node = await startNode(home, await aroundOf(home));
        failure = await Promise.race([stop, node.failed]);
        if (failure === undefined) return node.stop();
        note(`smalti: ${failure.message}`);
        if (failure instanceof SplitReachedError) await node.stop();
      } while (failure instanceof SplitReachedError);
      process.exit(exitCodeOf(failure) === exitCodes.error ? exitCodes.error : exitCodeOf(failure));
    },
  );
}

/** What is put between a host and the others: nothing, but for exercises. Throws CONFIG_*. */
async function aroundOf(home: string): Promise<Outside | undefined> {
  const { lie } = (await loadConfig(home)).unsafe;
  if (lie === "no") return undefined;
  const { lyingOutside } = await import("../../testing/faults/index.ts");
  return lyingOutside(lie, home);
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
    for (const { name, http, address } of network.genesis.writers)
      refuseUnreachable(name, http, address);
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
