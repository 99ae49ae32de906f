import { createReadStream, existsSync } from "node:fs";
import { mkdtemp, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import pc from "picocolors";
import {
  AbsentError,
  askAny,
  askJson,
  directoriesAbove,
  exportTree,
  isUnfinished,
  type MirrorClient,
  refuseMassDeletion,
  walkLocal,
} from "../app/client/index.ts";
import { limits } from "../core/base/index.ts";
import type { Leaf } from "../core/mirror/index.ts";
import {
  type CommonOptions,
  clientOf,
  serversOf,
  trustOf,
  withOutput,
  withTrust,
} from "./context.ts";
import { logCommands } from "./log-commands.ts";
import { bytesText, note, progressBar, say, sayJson, sayTable } from "./output.ts";
import { maxDeleteOption } from "./publish-commands.ts";
import {
  changeOf,
  headFor,
  heightFlag,
  type ReadOptions,
  reading,
  splitTarget,
} from "./reading.ts";
import { verifyCommand } from "./verify-commands.ts";

/** Verbs for whoever downloads. */
export function treeCommands(program: Command): void {
  lsCommand(program);
  catCommand(program);
  getCommand(program);
  logCommand(program);
  diffCommand(program);
  verifyCommand(program);
  logCommands(program);
}

function lsCommand(program: Command): void {
  reading(
    program
      .command("ls [target]")
      .description("list a tree or a directory in it; without target, the trees"),
  ).action(async (target: string | undefined, options: ReadOptions) => {
    const { client } = await clientOf(options);
    const head = await headFor(client, options);
    const { tree, path } = splitTarget(target ?? "");
    const entry = tree === "" ? undefined : await client.entry(head, tree, path);
    const isFile = entry !== undefined && entry.kind !== "directory";
    const entries = isFile
      ? [{ name: target ?? "", entry }]
      : await client.list(entry?.kind === "directory" ? entry.root : head.trees);
    if (options.output === "json")
      return sayJson({
        height: head.height,
        entries: entries.map(({ name, entry: e }) => ({ name, ...e })),
      });
    sayTable(
      ["type", "size", "sha256", "name"],
      entries.map(({ name, entry: e }) => {
        if (e.kind === "directory") return ["dir", "", "", `${name}/`];
        if (e.kind === "link") return ["link", "", "", `${name} -> ${e.target}`];
        return [e.executable ? "exec" : "file", bytesText(e.size), e.digest.slice(0, 16), name];
      }),
    );
  });
}

function catCommand(program: Command): void {
  reading(
    program.command("cat <target>").description("print one file, verified before the first byte"),
  ).action(async (target: string, options: ReadOptions) => {
    const { client } = await clientOf(options);
    const head = await headFor(client, options);
    const { tree, path } = splitTarget(target);
    const entry = await client.entry(head, tree, path);
    if (entry.kind !== "file") throw new AbsentError(`${target} is a ${entry.kind}, not a file`);
    if (entry.size > limits.packedBlobBytesMax) return catLarge(client, entry);
    const url = `/@${head.height}/${tree}/${path.split("/").map(encodeURIComponent).join("/")}`;
    process.stdout.write(await client.small(entry.digest, url));
  });
}

/** A large file is verified as a whole in a temporary file before the first byte is printed. */
async function catLarge(
  client: MirrorClient,
  file: Extract<Leaf, { kind: "file" }>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-cat-"));
  try {
    await exportTree(client, new Map([["content", file]]), { directory });
    await pipeline(createReadStream(join(directory, "content")), process.stdout, { end: false });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function getCommand(program: Command): void {
  reading(
    program
      .command("get <target> [dir]")
      .description("fetch a tree, a directory or a file, every byte verified"),
  )
    .option("--delete", "also delete what is not in the tree")
    .option(...maxDeleteOption)
    .action(get);
}

interface GetOptions extends ReadOptions {
  readonly delete?: boolean;
  readonly maxDelete: number;
}

async function get(
  target: string,
  directory: string | undefined,
  options: GetOptions,
): Promise<void> {
  const { client } = await clientOf(options);
  const head = await headFor(client, options);
  const { tree, path } = splitTarget(target.replace(/\/+$/, ""));
  const entry = await client.entry(head, tree, path);
  const isDirectory = entry.kind === "directory";
  const leaves = isDirectory
    ? await client.leavesBelow(entry.root)
    : new Map([[path.split("/").at(-1) ?? path, entry]]);
  const into = resolve(directory ?? (isDirectory ? path.split("/").at(-1) || tree : "."));
  const others = isDirectory ? await othersIn(into, leaves) : [];
  if (options.delete === true) await deleteOthers(into, others, options);
  const bar = progressBar("fetch");
  const result = await exportTree(client, leaves, {
    directory: into,
    onProgress: (done, total) => bar.update(done, total),
  }).finally(() => bar.stop());
  const left = options.delete === true ? { deleted: others } : { kept: others };
  if (options.output === "json")
    return sayJson({
      height: head.height,
      directory: into,
      ...result,
      ...left,
      refused: client.lies,
    });
  say(
    `${pc.green("verified")} ${result.files} files of ${target} at height ${head.height} in ${into} (${result.unchanged} were there, ${bytesText(result.bytes)} fetched)`,
  );
  if (others.length === 0) return;
  say(
    options.delete === true
      ? `${others.length} files deleted that are not in the tree`
      : `${others.length} files stay that are not in the tree (--delete removes them)`,
  );
}

/** What is in a directory and not in the tree, but for downloads that were broken off. */
async function othersIn(directory: string, leaves: ReadonlyMap<string, Leaf>): Promise<string[]> {
  if (!existsSync(directory)) return [];
  const { paths, unreadable } = await walkLocal(directory);
  for (const path of unreadable)
    note(`left alone, as its name is not UTF-8: ${JSON.stringify(path)}`);
  return paths.filter((path) => !leaves.has(path) && !isUnfinished(path)).sort();
}

/** Before anything is fetched: what is in the way goes first. */
async function deleteOthers(
  directory: string,
  others: readonly string[],
  options: GetOptions,
): Promise<void> {
  if (others.length === 0) return;
  const { paths } = await walkLocal(directory);
  const of = { of: paths.length, where: directory, share: options.maxDelete };
  refuseMassDeletion(others.length, of);
  for (const path of others) await rm(join(directory, path));
  // The directories that are empty now, the innermost first.
  const above = new Set(others.flatMap(directoriesAbove));
  for (const path of [...above].sort().reverse())
    await rmdir(join(directory, path)).catch(() => undefined);
}

interface HeightRow {
  readonly height: number;
  readonly tsMs: number;
  readonly tree: string;
  readonly update: string;
}

function logCommand(program: Command): void {
  const log = withOutput(
    withTrust(program.command("log [tree]").description("what was published when, newest first")),
  )
    .option("-n, --number <n>", "how many", heightFlag, 20)
    .action(async (tree: string | undefined, options: CommonOptions & { number: number }) => {
      const trust = await trustOf(options);
      const query = `limit=${options.number}${tree === undefined ? "" : `&tree=${encodeURIComponent(tree)}`}`;
      const { server, answer: heights } = await askAny(serversOf(options, trust), (one, signal) =>
        heightsOf(`${one}/.smalti/v1/heights?${query}`, options.number, signal),
      );
      if (options.output === "json") return sayJson({ server, heights });
      sayTable(
        ["height", "when", "tree", "update"],
        heights.map((row) => [
          String(row.height),
          new Date(row.tsMs).toISOString(),
          row.tree || "(policy)",
          row.update.slice(0, 16),
        ]),
      );
    });
  return void log;
}

/** Answers that are asked for at most: a host says where to go on, and might say so for ever. */
const heightAnswersMax = 1000;

/** A host looks at ten thousand heights for one answer, and says where to go on. */
async function heightsOf(url: string, count: number, signal: AbortSignal): Promise<HeightRow[]> {
  const heights: HeightRow[] = [];
  let below: number | undefined;
  for (let answers = 0; answers < heightAnswersMax && heights.length < count; answers++) {
    const more = below === undefined ? "" : `&below=${below}`;
    const answer = await askJson<{ heights: HeightRow[]; next?: number }>(`${url}${more}`, {
      signal,
    });
    heights.push(...answer.heights);
    const isLower = below === undefined || (answer.next ?? 0) < below;
    below = isLower ? answer.next : undefined;
    if (below === undefined) break;
  }
  return heights.slice(0, count);
}

function diffCommand(program: Command): void {
  withOutput(
    withTrust(
      program
        .command("diff <tree> <a> [b]")
        .description("what changed in a tree between two heights (b: the newest)"),
    ),
  ).action(diff);
}

// biome-ignore lint/complexity/useMaxParams: three arguments of the command line and its options
async function diff(
  tree: string,
  a: string,
  b: string | undefined,
  options: CommonOptions,
): Promise<void> {
  const { client } = await clientOf(options);
  const after = b === undefined ? await client.newestHead() : await client.head(heightFlag(b));
  const before = await client.head(heightFlag(a));
  const [old, now] = [await client.leaves(before, tree), await client.leaves(after, tree)];
  const changes = [...new Set([...old.keys(), ...now.keys()])]
    .sort()
    .flatMap((path) => changeOf(path, old.get(path), now.get(path)));
  if (options.output === "json")
    return sayJson({ tree, from: before.height, to: after.height, changes });
  for (const { kind, path } of changes) say(`${kind} ${path}`);
}
