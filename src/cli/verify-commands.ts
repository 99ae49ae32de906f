import { readFile, stat } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import {
  type MirrorClient,
  scanDirectory,
  scanFile,
  type VerifiedHead,
  verifyReceipt,
} from "../app/client/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { CodedError } from "../core/base/index.ts";
import type { Leaf } from "../core/mirror/index.ts";
import { type CommonOptions, checkTree, clientOf, trustOf } from "./context.ts";
import { note, say, sayJson } from "./output.ts";
import { changeOf, headFor, type ReadOptions, reading, splitTarget } from "./reading.ts";

/** `smalti verify`: directories against trees, receipts against the genesis alone. */
export function verifyCommand(program: Command): void {
  reading(
    program
      .command("verify [dir] [target]")
      .description(
        "compare a directory or a file with a tree (or TREE/PATH), or check a receipt offline",
      ),
  )
    .option("--receipt <file>", "check a receipt: needs the genesis and nothing else")
    .action(
      async (
        directory: string | undefined,
        tree: string | undefined,
        options: ReadOptions & { receipt?: string },
      ) => {
        if (options.receipt !== undefined) return checkReceipt(options.receipt, options);
        if (directory === undefined || tree === undefined)
          throw new ConfigError(
            "USAGE",
            "verify takes DIR TREE, FILE TREE/PATH, or --receipt FILE",
          );
        return verifyDirectory(directory, tree, options);
      },
    );
}

async function checkReceipt(file: string, options: CommonOptions): Promise<void> {
  const trust = await trustOf(options);
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new CodedError("MALFORMED_PROOF", `${file} is not a receipt: ${String(error)}`);
  }
  const verified = verifyReceipt(trust, json);
  if (!verified.ok)
    throw new CodedError(
      "VERIFICATION_FAILED",
      `${file} does not verify: ${verified.error.detail}`,
    );
  const { id, outcome, height, tree, publisher, source, signers } = verified.value;
  if (options.output === "json")
    return sayJson({ ok: true, id, outcome, height, tree, publisher, source, signers });
  say(
    `${pc.green("valid")}: ${outcome}${height > 0 ? ` at height ${height}` : ""}${tree === "" ? "" : ` in ${tree}`}, by ${publisher.slice(0, 16)}…`,
  );
  if (source !== "") say(`a quorum of writers saw these bytes themselves at: ${source}`);
  say(`cosigned by ${signers.join(", ")}`);
}

/** What a tree has at `TREE[/PATH]`, and what is here; a file alone has the empty path. */
async function bothSides(
  client: MirrorClient,
  head: VerifiedHead,
  { directory, target }: { readonly directory: string; readonly target: string },
): Promise<{
  readonly remote: ReadonlyMap<string, Leaf>;
  readonly local: ReadonlyMap<string, { readonly leaf: Leaf }>;
}> {
  const { tree, path } = splitTarget(target);
  checkTree(tree);
  if ((await stat(directory).catch(() => undefined))?.isFile() === true) {
    const entry = await client.entry(head, tree, path);
    if (entry.kind === "directory")
      throw new ConfigError("USAGE", `${directory} is a file, and ${target} is a directory`);
    return {
      remote: new Map([[path, entry]]),
      local: new Map([[path, await scanFile(directory)]]),
    };
  }
  const local = await scanDirectory(directory);
  if (path === "") return { remote: await client.leaves(head, tree), local };
  const entry = await client.entry(head, tree, path);
  if (entry.kind !== "directory")
    throw new ConfigError("USAGE", `${directory} is a directory, and ${target} is none`);
  return { remote: await client.leavesBelow(entry.root), local };
}

async function verifyDirectory(
  directory: string,
  tree: string,
  options: ReadOptions,
): Promise<void> {
  const { client } = await clientOf(options);
  const head = await headFor(client, options);
  const { remote, local } = await bothSides(client, head, { directory, target: tree });
  const differences = [...new Set([...remote.keys(), ...local.keys()])]
    .sort()
    .flatMap((path) => changeOf(path, remote.get(path), local.get(path)?.leaf));
  if (options.output === "json")
    sayJson({
      ok: differences.length === 0,
      tree,
      height: head.height,
      files: remote.size,
      differences,
    });
  if (differences.length > 0) {
    const words = { A: "not in the tree", M: "differs", D: "missing here" } as const;
    for (const { kind, path } of differences.slice(0, 50)) note(`${pc.red(words[kind])}  ${path}`);
    throw new CodedError(
      "TREE_DIFFERS",
      `${directory} is not ${tree} at height ${head.height}: ${differences.length} differences`,
    );
  }
  if (options.output !== "json")
    say(
      `${pc.green("verified")}: ${directory} is ${tree} at height ${head.height}, ${remote.size} files`,
    );
}
