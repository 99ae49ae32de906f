import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import pc from "picocolors";
import {
  askAny,
  askJson,
  changePublisher,
  isLikeLocal,
  type LocalLeaf,
  type MirrorClient,
  NoHonestServerError,
  type Plan,
  type Published,
  planPublish,
  publishChanges,
  refuseMassDeletion,
  ScanCache,
  scanDirectory,
  type VerifiedHead,
  type Witnessed,
} from "../app/client/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { isPublicKey, limits } from "../core/base/index.ts";
import type { UpdateSource } from "../core/mirror/index.ts";
import {
  type CommonOptions,
  checkTree,
  clientOf,
  homeDirectory,
  keyOf,
  serversOf,
  trustOf,
  withOutput,
  withTrust,
} from "./context.ts";
import { Omissions } from "./omissions.ts";
import { bytesText, note, progressBar, say, sayJson, sayTable } from "./output.ts";
import { natural } from "./reading.ts";

/** Verbs for publishers and administrators. */
export function publishCommands(program: Command): void {
  publishCommand(program);
  publisherCommands(program);
}

export interface PublishFlags extends CommonOptions {
  readonly dryRun?: boolean;
  readonly delete?: boolean;
  readonly checksum?: boolean;
  /** What a tree cannot hold is an error, not a warning. */
  readonly strict?: boolean;
  /** Share of a tree's files that may be deleted at once. */
  readonly maxDelete?: number;
  readonly receipt?: string;
}

function publishCommand(program: Command): void {
  withOutput(
    withTrust(
      program
        .command("publish <dir> <tree>")
        .description("bring a directory into a tree; only what changed moves"),
    ),
  )
    .option("--key <file>", "the publisher's key")
    .option("--dry-run", "show what would change")
    .option("--delete", "also delete what is not in the directory")
    .option(...maxDeleteOption)
    .option("--strict", "refuse a directory of which something cannot be in a tree")
    .option("--checksum", "read every file, also those that look unchanged since the last time")
    .option("--receipt <file>", "keep the receipt")
    .action(publish);
}

/** For commander: how much of a tree may be deleted at once. */
export const maxDeleteOption = [
  "--max-delete <share>",
  "how much of the tree may be deleted at once",
  (text: string): number => {
    const [, number] = /^(\d+(?:\.\d+)?)%?$/.exec(text) ?? [];
    if (number === undefined || Number(number) > 100)
      throw new ConfigError("USAGE", `--max-delete takes a share like 50%, not ${text}`);
    return Number(number) / 100;
  },
  0.5,
] as const;

/** The newest state, or none where none is shown; one that may not be taken is no state to build upon. */
function headToChange(client: MirrorClient): Promise<VerifiedHead | undefined> {
  const found = client.newestHead().catch((error: unknown) => {
    if (error instanceof NoHonestServerError) return undefined;
    throw error;
  });
  // It is awaited after the directory is read; until then nobody looks at it.
  found.catch(() => undefined);
  return found;
}

/** Of an import whose bytes the writers are to see at their source. */
interface Witnessing {
  /** What was left out before. */
  readonly omissions?: Omissions;
  readonly source?: UpdateSource;
  readonly patienceS?: number;
}

/** Brings a directory into a tree and tells how it went. */
export async function publish(
  directory: string,
  tree: string,
  options: PublishFlags & Witnessing,
): Promise<void> {
  checkTree(tree);
  const { trust, client } = await clientOf(options);
  const found = headToChange(client);
  const { local, cache, omissions } = await readLocal(directory, options);
  const head = await found;
  const plan = planPublish({
    tree,
    baseHeight: head?.height ?? 0,
    differences:
      cache?.differencesTo(await client.rootOf(head, tree), local) ??
      (await client.differences(head, tree, local)),
    delete: options.delete === true,
    localFiles: local.size,
  });
  if (options.dryRun === true) return showPlan({ plan, omissions }, options);
  if (plan.changes.length === 0) {
    await cache?.saveRoot(local);
    return nothingToDo(options, { plan, omissions }, head);
  }
  refuseMassDeletion(plan.deleted.length, {
    of: plan.before,
    where: JSON.stringify(tree),
    share: options.maxDelete ?? 0.5,
  });
  const { signer } = await keyOf(options, "publisher");
  const upload = progressBar("upload");
  const startedAt = performance.now();
  const published = await publishChanges({
    trust,
    writers: serversOf(options, trust),
    signer,
    plan,
    local,
    ...witnessOptions(options),
    onProgress: ({ doneBytes, totalBytes }) => upload.update(doneBytes, Math.max(totalBytes, 1)),
  }).finally(() => upload.stop());
  if (options.receipt !== undefined)
    await writeFile(options.receipt, `${JSON.stringify(published.receipt, null, 2)}\n`);
  tellPublished({ plan, omissions }, published, {
    writers: trust.network.writers.length,
    seconds: (performance.now() - startedAt) / 1000,
    isJson: options.output === "json",
  });
  const { state } = published.verified;
  if (cache === undefined || !isLikeLocal(plan, state?.height)) return;
  // Only to save the next run some time: it is published, whether this can be asked for now or not.
  const root = await client.rootOf(state, tree).catch(() => undefined);
  if (root !== undefined) await cache.saveRoot(local, root);
}

interface LocalRead {
  readonly local: ReadonlyMap<string, LocalLeaf>;
  readonly cache: ScanCache | undefined;
  readonly omissions: Omissions;
}

async function readLocal(
  directory: string,
  options: PublishFlags & Witnessing,
): Promise<LocalRead> {
  const bar = progressBar("reading");
  const cache = await cacheOf(directory, options);
  const { omissions = new Omissions() } = options;
  const local = await scanDirectory(directory, {
    onFile: (done, total) => bar.update(done, total),
    onOmitted: omissions.add,
    onEmptyDirectory: omissions.addEmpty,
    ...(cache === undefined ? {} : { cache }),
  }).finally(() => bar.stop());
  await cache?.save();
  omissions.tell(directory, options.strict === true);
  return { local, cache, omissions };
}

function witnessOptions({
  source,
  patienceS = 30,
}: Witnessing): Pick<
  Parameters<typeof publishChanges>[0],
  "source" | "onWitnessed" | "witnessPatienceMs"
> {
  if (source === undefined) return {};
  return { source, onWitnessed: witnessNotes(), witnessPatienceMs: patienceS * 1000 };
}

/** Says once of each writer what it saw at the source. */
function witnessNotes(): (rows: readonly Witnessed[]) => void {
  const told = new Set<string>();
  return (rows) => {
    for (const { writer, state, detail } of rows) {
      const isWord = state === "seen" || state === "refused" || state === "not-asked";
      const line = `${writer}: ${state}${detail === "" ? "" : `: ${detail}`}`;
      if (isWord && !told.has(line)) note(line);
      told.add(line);
    }
  };
}

/** What would be or was published, and what was left out. */
interface Told {
  readonly plan: Plan;
  readonly omissions: Omissions;
}

function tellPublished(
  { plan, omissions }: Told,
  { receipt, verified, writer, uploadedBytes }: Published,
  how: { readonly writers: number; readonly seconds: number; readonly isJson: boolean },
): void {
  const { tree } = plan;
  const counts = {
    added: plan.added.length,
    changed: plan.changed.length,
    deleted: plan.deleted.length,
  };
  const { height, id, signers, source } = verified;
  if (how.isJson)
    return sayJson({
      tree,
      height,
      id,
      ...counts,
      ...omissions.json,
      uploadedBytes,
      writer,
      source,
      signers,
      receipt,
    });
  say(
    `${pc.green("published")} ${tree} at height ${pc.bold(String(height))}: ${countsText(plan)}, ${bytesText(uploadedBytes)} sent to ${writer} in ${how.seconds.toFixed(2)} s`,
  );
  if (source !== "") say(`a quorum of writers saw these bytes themselves at: ${source}`);
  say(`receipt verified: ${signers.length} of ${how.writers} writers cosigned it`);
}

/** What earlier runs read of a directory; not with `--checksum`, nor where there is no such directory. */
async function cacheOf(directory: string, options: PublishFlags): Promise<ScanCache | undefined> {
  if (options.checksum === true || !existsSync(directory)) return undefined;
  return ScanCache.open(join(homeDirectory(options), "cache"), directory);
}

function countsText({ added, changed, deleted, kept }: Plan): string {
  const keptText = kept > 0 ? `, ${kept} only in the tree stay (--delete removes them)` : "";
  return `${added.length} added, ${changed.length} changed, ${deleted.length} deleted${keptText}`;
}

function nothingToDo(
  options: PublishFlags,
  { plan, omissions }: Told,
  head: VerifiedHead | undefined,
): void {
  if (options.output === "json")
    return sayJson({
      tree: plan.tree,
      height: head?.height ?? 0,
      added: 0,
      changed: 0,
      deleted: 0,
      ...omissions.json,
      uploadedBytes: 0,
    });
  say(`nothing to publish: ${plan.tree} has this already at height ${head?.height ?? 0}`);
}

function showPlan({ plan, omissions }: Told, options: CommonOptions): void {
  const { added, changed, deleted } = plan;
  if (options.output === "json")
    return sayJson({
      tree: plan.tree,
      baseHeight: plan.baseHeight,
      added,
      changed,
      deleted,
      kept: plan.kept,
      ...omissions.json,
    });
  for (const path of added) say(pc.green(`A ${path}`));
  for (const path of changed) say(pc.yellow(`M ${path}`));
  for (const path of deleted) say(pc.red(`D ${path}`));
  say(`would publish to ${plan.tree} upon height ${plan.baseHeight}: ${countsText(plan)}`);
}

interface RightsOptions extends CommonOptions {
  readonly name: string;
  readonly perHour?: number;
}

function publisherCommands(program: Command): void {
  const publisher = program
    .command("publisher")
    .description("who may write which tree; part of the ordered state");
  withOutput(
    withTrust(
      publisher
        .command("grant <public-key> <trees...>")
        .description("let a key write trees (names, or prefixes ending in *)"),
    ),
  )
    .option("--key <file>", "the administrator's key")
    .option("--name <name>", "a name for people", "publisher")
    .option("--per-hour <updates>", "how many of its updates are taken in an hour", natural)
    .action((key: string, trees: string[], options: RightsOptions) =>
      changeRights(key, trees, options),
    );
  withOutput(
    withTrust(
      publisher.command("revoke <public-key>").description("take all of a key's rights away"),
    ),
  )
    .option("--key <file>", "the administrator's key")
    .action((key: string, options: CommonOptions) =>
      changeRights(key, [], { ...options, name: "" }),
    );
  withOutput(
    withTrust(
      publisher.command("ls").description("publishers and their trees, as one server says"),
    ),
  ).action(async (options: CommonOptions) => {
    const trust = await trustOf(options);
    const { answer: policy } = await askAny(serversOf(options, trust), (server, signal) =>
      askJson<{
        publishers: { key: string; name: string; trees: string[]; perHour?: number }[];
      }>(`${server}/.smalti/v1/policy`, { signal }),
    );
    if (options.output === "json") return sayJson(policy);
    sayTable(
      ["name", "trees", "an hour", "key"],
      policy.publishers.map(({ name, trees, perHour = limits.updatesPerHour, key }) => [
        name,
        trees.join(" "),
        `${perHour} updates`,
        key,
      ]),
    );
  });
}

async function changeRights(
  key: string,
  trees: readonly string[],
  options: RightsOptions,
): Promise<void> {
  if (!isPublicKey(key))
    throw new ConfigError("USAGE", `${key} is not a public key (64 hex digits)`);
  const trust = await trustOf(options);
  const { signer } = await keyOf(options, "administrator");
  const { verified } = await changePublisher({
    trust,
    writers: serversOf(options, trust),
    signer,
    publisher: key,
    name: options.name,
    trees,
    perHour: options.perHour,
  });
  if (options.output === "json") return sayJson({ height: verified.height, publisher: key, trees });
  say(
    trees.length === 0
      ? `${key} may write nothing any more (height ${verified.height})`
      : `${key} may write ${trees.join(", ")} (height ${verified.height})`,
  );
}
