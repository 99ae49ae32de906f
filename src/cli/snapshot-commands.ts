import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import pc from "picocolors";
import { planPublish, publishChanges, scanDirectory } from "../app/client/index.ts";
import { snapshotsTree } from "../app/gateway/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { CodedError } from "../core/base/index.ts";
import { clientOf, keyOf, serversOf } from "./context.ts";
import { say, sayJson, sayTable } from "./output.ts";
import { headFor, type ReadOptions, reading } from "./reading.ts";

const nameForm = /^[A-Za-z][\w.-]{0,62}$/;

/** `smalti snapshot`: names for heights, given through the order: `/@NAME/…` is the same on every mirror. */
export function snapshotCommands(program: Command): void {
  const snapshot = program
    .command("snapshot")
    .description("names for heights, the same on every mirror");
  reading(
    snapshot
      .command("create <name>")
      .description("give a height a name (a publisher of the tree `snapshots` can)"),
  )
    .option("--key <file>", "the publisher's key")
    .action(create);
  reading(snapshot.command("ls").description("heights that have names")).action(list);
}

async function create(name: string, options: ReadOptions): Promise<void> {
  if (!nameForm.test(name))
    throw new ConfigError(
      "USAGE",
      "a name begins with a letter: letters, digits, dots, dashes, 63 at most",
    );
  const { trust, client } = await clientOf(options);
  const newest = await client.newestHead();
  const { height } = options.height === undefined ? newest : await client.head(options.height);
  const before = (await client.leaves(newest, snapshotsTree)).get(name);
  if (before !== undefined)
    throw new CodedError("CONFLICT", `${name} is given already, and a name stays with its height`);
  const directory = await mkdtemp(join(tmpdir(), "smalti-snapshot-"));
  try {
    await writeFile(join(directory, name), `${height}\n`);
    const local = await scanDirectory(directory);
    const differences = await client.differences(newest, snapshotsTree, local);
    const plan = planPublish({
      tree: snapshotsTree,
      baseHeight: newest.height,
      differences,
      delete: false,
    });
    const { signer } = await keyOf(options, "publisher");
    const { verified } = await publishChanges({
      trust,
      writers: serversOf(options, trust),
      signer,
      plan,
      local,
    });
    if (options.output === "json") return sayJson({ name, height, by: verified.height });
    say(`${pc.green("named")}: /@${name}/ is height ${height}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function list(options: ReadOptions): Promise<void> {
  const { client } = await clientOf(options);
  const head = await headFor(client, options);
  const rows: { name: string; height: number }[] = [];
  for (const [name, leaf] of await client.leaves(head, snapshotsTree)) {
    if (leaf.kind !== "file") continue;
    const url = `/@${head.height}/${snapshotsTree}/${encodeURIComponent(name)}`;
    const text = Buffer.from(await client.small(leaf.digest, url)).toString();
    rows.push({ name, height: Number(text) });
  }
  if (options.output === "json") return sayJson({ height: head.height, snapshots: rows });
  sayTable(
    ["name", "height"],
    rows.map(({ name, height }) => [name, String(height)]),
  );
}
