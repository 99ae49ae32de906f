import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import pc from "picocolors";
import {
  AbsentError,
  askJson,
  changePublisher,
  exportTree,
  type MirrorClient,
  type Plan,
  planPublish,
  publishChanges,
  scanDirectory,
  type VerifiedHead,
  verifyReceipt,
} from "../app/client/index.ts";
import { ConfigError } from "../app/config/index.ts";
import { isPublicKey, limits } from "../core/base/index.ts";
import { type Leaf, sameLeaf } from "../core/mirror/index.ts";
import { clientOf, type CommonOptions, keyOf, serversOf, trustOf, withOutput, withTrust } from "./context.ts";
import { bytesText, note, progressBar, say, sayJson, sayTable } from "./output.ts";

interface ReadOptions extends CommonOptions {
  readonly height?: number;
}

function heightFlag(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError("USAGE", `--height takes a number, not ${text}`);
  return Number(text);
}

function reading(command: Command): Command {
  return withOutput(withTrust(command)).option("--height <h>", "a past height instead of the newest", heightFlag);
}

/** `TREE/path` → its two halves. */
function splitTarget(target: string): { readonly tree: string; readonly path: string } {
  const slash = target.indexOf("/");
  return slash < 0 ? { tree: target, path: "" } : { tree: target.slice(0, slash), path: target.slice(slash + 1) };
}

async function headFor(client: MirrorClient, options: ReadOptions): Promise<VerifiedHead> {
  return options.height === undefined ? client.newestHead() : client.head(options.height);
}

/** Verbs for publishers and for whoever downloads. */
export function treeCommands(program: Command): void {
  publishCommand(program);
  publisherCommands(program);
  lsCommand(program);
  catCommand(program);
  getCommand(program);
  logCommand(program);
  diffCommand(program);
  verifyCommand(program);
}

interface PublishFlags extends CommonOptions {
  readonly dryRun?: boolean;
  readonly delete?: boolean;
  readonly receipt?: string;
}

function publishCommand(program: Command): void {
  withOutput(withTrust(program.command("publish <dir> <tree>").description("bring a directory into a tree; only what changed moves")))
    .option("--key <file>", "the publisher's key")
    .option("--dry-run", "show what would change")
    .option("--delete", "also delete what is not in the directory")
    .option("--receipt <file>", "keep the receipt")
    .action(publish);
}

async function publish(directory: string, tree: string, options: PublishFlags): Promise<void> {
  const { trust, client } = await clientOf(options);
  const bar = progressBar("reading");
  const local = await scanDirectory(directory, (done, total) => bar.update(done, total));
  bar.stop();
  const head = await client.newestHead().catch(() => undefined);
  const remote = head === undefined ? new Map<string, Leaf>() : await client.leaves(head, tree);
  const plan = planPublish({ tree, baseHeight: head?.height ?? 0, local, remote, delete: options.delete === true });
  if (options.dryRun === true) return showPlan(plan, options);
  if (plan.changes.length === 0) return nothingToDo(options, plan, head);
  const { signer } = await keyOf(options, "publisher");
  const upload = progressBar("upload");
  const startedAt = performance.now();
  const { receipt, verified, writer, uploadedBytes } = await publishChanges({
    trust,
    writers: serversOf(options, trust),
    signer,
    plan,
    local,
    onProgress: ({ doneBytes, totalBytes }) => upload.update(doneBytes, Math.max(totalBytes, 1)),
  }).finally(() => upload.stop());
  if (options.receipt !== undefined) await writeFile(options.receipt, `${JSON.stringify(receipt, null, 2)}\n`);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(2);
  const counts = { added: plan.added.length, changed: plan.changed.length, deleted: plan.deleted.length };
  if (options.output === "json") return sayJson({ tree, height: verified.height, id: verified.id, ...counts, uploadedBytes, writer, signers: verified.signers, receipt });
  say(`${pc.green("published")} ${tree} at height ${pc.bold(String(verified.height))}: ${countsText(plan)}, ${bytesText(uploadedBytes)} sent to ${writer} in ${seconds} s`);
  say(`receipt verified: ${verified.signers.length} of ${trust.network.writers.length} writers cosigned it`);
}

function countsText({ added, changed, deleted, kept }: Plan): string {
  const keptText = kept > 0 ? `, ${kept} only in the tree stay (--delete removes them)` : "";
  return `${added.length} added, ${changed.length} changed, ${deleted.length} deleted${keptText}`;
}

function nothingToDo(options: PublishFlags, plan: Plan, head: VerifiedHead | undefined): void {
  if (options.output === "json") return sayJson({ tree: plan.tree, height: head?.height ?? 0, added: 0, changed: 0, deleted: 0, uploadedBytes: 0 });
  say(`nothing to publish: ${plan.tree} has this already at height ${head?.height ?? 0}`);
}

function showPlan(plan: Plan, options: CommonOptions): void {
  const { added, changed, deleted } = plan;
  if (options.output === "json") return sayJson({ tree: plan.tree, baseHeight: plan.baseHeight, added, changed, deleted, kept: plan.kept });
  for (const path of added) say(pc.green(`A ${path}`));
  for (const path of changed) say(pc.yellow(`M ${path}`));
  for (const path of deleted) say(pc.red(`D ${path}`));
  say(`would publish to ${plan.tree} upon height ${plan.baseHeight}: ${countsText(plan)}`);
}

function publisherCommands(program: Command): void {
  const publisher = program.command("publisher").description("who may write which tree; part of the ordered state");
  withOutput(withTrust(publisher.command("grant <public-key> <trees...>").description("let a key write trees (names, or prefixes ending in *)")))
    .option("--key <file>", "the administrator's key")
    .option("--name <name>", "a name for people", "publisher")
    .action((key: string, trees: string[], options: CommonOptions & { name: string }) => changeRights(key, trees, options));
  withOutput(withTrust(publisher.command("revoke <public-key>").description("take all of a key's rights away")))
    .option("--key <file>", "the administrator's key")
    .action((key: string, options: CommonOptions) => changeRights(key, [], { ...options, name: "" }));
  withOutput(withTrust(publisher.command("ls").description("publishers and their trees, as one server says"))).action(
    async (options: CommonOptions) => {
      const trust = await trustOf(options);
      const [server = ""] = serversOf(options, trust);
      const policy = await askJson<{ publishers: { key: string; name: string; trees: string[] }[] }>(`${server}/.smalti/v1/policy`);
      if (options.output === "json") return sayJson(policy);
      sayTable(["name", "trees", "key"], policy.publishers.map(({ name, trees, key }) => [name, trees.join(" "), key]));
    },
  );
}

async function changeRights(key: string, trees: readonly string[], options: CommonOptions & { name: string }): Promise<void> {
  if (!isPublicKey(key)) throw new ConfigError("USAGE", `${key} is not a public key (64 hex digits)`);
  const trust = await trustOf(options);
  const { signer } = await keyOf(options, "administrator");
  const { verified } = await changePublisher({ trust, writers: serversOf(options, trust), signer, publisher: key, name: options.name, trees });
  if (options.output === "json") return sayJson({ height: verified.height, publisher: key, trees });
  say(trees.length === 0 ? `${key} may write nothing any more (height ${verified.height})` : `${key} may write ${trees.join(", ")} (height ${verified.height})`);
}

function lsCommand(program: Command): void {
  reading(program.command("ls [target]").description("list a tree or a directory in it; without target, the trees")).action(
    async (target: string | undefined, options: ReadOptions) => {
      const { client } = await clientOf(options);
      const head = await headFor(client, options);
      const { tree, path } = splitTarget(target ?? "");
      const entry = tree === "" ? undefined : await client.entry(head, tree, path);
      const isFile = entry !== undefined && entry.kind !== "directory";
      const entries = isFile ? [{ name: target ?? "", entry }] : await client.list(entry?.kind === "directory" ? entry.root : head.trees);
      if (options.output === "json") return sayJson({ height: head.height, entries: entries.map(({ name, entry: e }) => ({ name, ...e })) });
      sayTable(
        ["type", "size", "sha256", "name"],
        entries.map(({ name, entry: e }) => {
          if (e.kind === "directory") return ["dir", "", "", `${name}/`];
          if (e.kind === "link") return ["link", "", "", `${name} -> ${e.target}`];
          return [e.executable ? "exec" : "file", bytesText(e.size), e.digest.slice(0, 16), name];
        }),
      );
    },
  );
}

function catCommand(program: Command): void {
  reading(program.command("cat <target>").description("print one file, verified before the first byte")).action(
    async (target: string, options: ReadOptions) => {
      const { client } = await clientOf(options);
      const head = await headFor(client, options);
      const { tree, path } = splitTarget(target);
      const entry = await client.entry(head, tree, path);
      if (entry.kind !== "file") throw new AbsentError(`${target} is a ${entry.kind}, not a file`);
      if (entry.size > limits.packedBlobBytesMax) return catLarge(client, entry);
      const url = `/@${head.height}/${tree}/${path.split("/").map(encodeURIComponent).join("/")}`;
      process.stdout.write(await client.small(entry.digest, url));
    },
  );
}

/** A large file is verified as a whole in a temporary file before the first byte is printed. */
async function catLarge(client: MirrorClient, file: Extract<Leaf, { kind: "file" }>): Promise<void> {
  const { mkdtemp, rm } = await import("node:fs/promises");
  const { createReadStream } = await import("node:fs");
  const { pipeline } = await import("node:stream/promises");
  const { tmpdir } = await import("node:os");
  const directory = await mkdtemp(`${tmpdir()}/smalti-cat-`);
  try {
    await exportTree(client, new Map([["content", file]]), directory);
    await pipeline(createReadStream(`${directory}/content`), process.stdout, { end: false });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function getCommand(program: Command): void {
  reading(program.command("get <target> [dir]").description("fetch a tree, a directory or a file, every byte verified")).action(
    async (target: string, directory: string | undefined, options: ReadOptions) => {
      const { client } = await clientOf(options);
      const head = await headFor(client, options);
      const { tree, path } = splitTarget(target);
      const entry = await client.entry(head, tree, path);
      const leaves =
        entry.kind === "directory" ? await client.leavesBelow(entry.root) : new Map([[path.split("/").at(-1) ?? path, entry]]);
      const into = resolve(directory ?? (entry.kind === "directory" ? (path.split("/").at(-1) || tree) : "."));
      const bar = progressBar("fetch");
      const result = await exportTree(client, leaves, into, (done, total) => bar.update(done, total)).finally(() => bar.stop());
      if (options.output === "json") return sayJson({ height: head.height, directory: into, ...result, refused: client.lies });
      say(`${pc.green("verified")} ${result.files} files of ${target} at height ${head.height} in ${into} (${result.unchanged} were there, ${bytesText(result.bytes)} fetched)`);
    },
  );
}

interface HeightRow {
  readonly height: number;
  readonly tsMs: number;
  readonly tree: string;
  readonly update: string;
}

function logCommand(program: Command): void {
  const log = withOutput(withTrust(program.command("log [tree]").description("what was published when, newest first")))
    .option("-n, --number <n>", "how many", heightFlag, 20)
    .action(async (tree: string | undefined, options: CommonOptions & { number: number }) => {
      const trust = await trustOf(options);
      const [server = ""] = serversOf(options, trust);
      const query = `limit=${options.number}${tree === undefined ? "" : `&tree=${encodeURIComponent(tree)}`}`;
      const { heights } = await askJson<{ heights: HeightRow[] }>(`${server}/.smalti/v1/heights?${query}`);
      if (options.output === "json") return sayJson({ server, heights });
      sayTable(
        ["height", "when", "tree", "update"],
        heights.map((row) => [String(row.height), new Date(row.tsMs).toISOString(), row.tree || "(policy)", row.update.slice(0, 16)]),
      );
    });
  return void log;
}

function diffCommand(program: Command): void {
  withOutput(withTrust(program.command("diff <tree> <a> [b]").description("what changed in a tree between two heights (b: the newest)"))).action(
    async (tree: string, a: string, b: string | undefined, options: CommonOptions) => {
      const { client } = await clientOf(options);
      const after = b === undefined ? await client.newestHead() : await client.head(heightFlag(b));
      const before = await client.head(heightFlag(a));
      const [old, now] = [await client.leaves(before, tree), await client.leaves(after, tree)];
      const changes = [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((path) => changeOf(path, old.get(path), now.get(path)));
      if (options.output === "json") return sayJson({ tree, from: before.height, to: after.height, changes });
      for (const { kind, path } of changes) say(`${kind} ${path}`);
    },
  );
}

function changeOf(path: string, before: Leaf | undefined, after: Leaf | undefined): { kind: "A" | "M" | "D"; path: string }[] {
  if (before === undefined) return [{ kind: "A", path }];
  if (after === undefined) return [{ kind: "D", path }];
  return sameLeaf(before, after) ? [] : [{ kind: "M", path }];
}

function verifyCommand(program: Command): void {
  reading(program.command("verify [dir] [tree]").description("compare a directory with a tree, or check a receipt offline"))
    .option("--receipt <file>", "check a receipt: needs the genesis and nothing else")
    .action(async (directory: string | undefined, tree: string | undefined, options: ReadOptions & { receipt?: string }) => {
      if (options.receipt !== undefined) return checkReceipt(options.receipt, options);
      if (directory === undefined || tree === undefined) throw new ConfigError("USAGE", "verify takes DIR TREE, or --receipt FILE");
      return verifyDirectory(directory, tree, options);
    });
}

async function checkReceipt(file: string, options: CommonOptions): Promise<void> {
  const trust = await trustOf(options);
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw Object.assign(new Error(`${file} is not a receipt: ${String(error)}`), { code: "MALFORMED_PROOF" });
  }
  const verified = verifyReceipt(trust, json);
  if (!verified.ok) throw Object.assign(new Error(`${file} does not verify: ${verified.error.detail}`), { code: "VERIFICATION_FAILED" });
  const { id, outcome, height, tree, publisher, signers } = verified.value;
  if (options.output === "json") return sayJson({ ok: true, id, outcome, height, tree, publisher, signers });
  say(`${pc.green("valid")}: ${outcome}${height > 0 ? ` at height ${height}` : ""}${tree === "" ? "" : ` in ${tree}`}, by ${publisher.slice(0, 16)}…`);
  say(`cosigned by ${signers.join(", ")}`);
}

async function verifyDirectory(directory: string, tree: string, options: ReadOptions): Promise<void> {
  const { client } = await clientOf(options);
  const head = await headFor(client, options);
  const remote = await client.leaves(head, tree);
  const local = await scanDirectory(directory);
  const differences = [...new Set([...remote.keys(), ...local.keys()])].sort().flatMap((path) => changeOf(path, remote.get(path), local.get(path)?.leaf));
  if (options.output === "json") sayJson({ ok: differences.length === 0, tree, height: head.height, files: remote.size, differences });
  if (differences.length > 0) {
    const words = { A: "not in the tree", M: "differs", D: "missing here" } as const;
    for (const { kind, path } of differences.slice(0, 50)) note(`${pc.red(words[kind])}  ${path}`);
    throw Object.assign(new Error(`${directory} is not ${tree} at height ${head.height}: ${differences.length} differences`), { code: "TREE_DIFFERS" });
  }
  if (options.output !== "json") say(`${pc.green("verified")}: ${directory} is ${tree} at height ${head.height}, ${remote.size} files`);
}
