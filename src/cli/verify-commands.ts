import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { scanDirectory, verifyReceipt } from "../app/client/index.ts";
import { ConfigError } from "../app/config/index.ts";
import { type CommonOptions, clientOf, trustOf } from "./context.ts";
import { note, say, sayJson } from "./output.ts";
import { changeOf, headFor, type ReadOptions, reading } from "./reading.ts";

/** `smalti verify`: directories against trees, receipts against the genesis alone. */
export function verifyCommand(program: Command): void {
  reading(
    program
      .command("verify [dir] [tree]")
      .description("compare a directory with a tree, or check a receipt offline"),
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
          throw new ConfigError("USAGE", "verify takes DIR TREE, or --receipt FILE");
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
    throw Object.assign(new Error(`${file} is not a receipt: ${String(error)}`), {
      code: "MALFORMED_PROOF",
    });
  }
  const verified = verifyReceipt(trust, json);
  if (!verified.ok)
    throw Object.assign(new Error(`${file} does not verify: ${verified.error.detail}`), {
      code: "VERIFICATION_FAILED",
    });
  const { id, outcome, height, tree, publisher, source, signers } = verified.value;
  if (options.output === "json")
    return sayJson({ ok: true, id, outcome, height, tree, publisher, source, signers });
  say(
    `${pc.green("valid")}: ${outcome}${height > 0 ? ` at height ${height}` : ""}${tree === "" ? "" : ` in ${tree}`}, by ${publisher.slice(0, 16)}…`,
  );
  if (source !== "") say(`a quorum of writers saw these bytes themselves at: ${source}`);
  say(`cosigned by ${signers.join(", ")}`);
}

async function verifyDirectory(
  directory: string,
  tree: string,
  options: ReadOptions,
): Promise<void> {
  const { client } = await clientOf(options);
  const head = await headFor(client, options);
  const remote = await client.leaves(head, tree);
  const local = await scanDirectory(directory);
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
    throw Object.assign(
      new Error(
        `${directory} is not ${tree} at height ${head.height}: ${differences.length} differences`,
      ),
      { code: "TREE_DIFFERS" },
    );
  }
  if (options.output !== "json")
    say(
      `${pc.green("verified")}: ${directory} is ${tree} at height ${head.height}, ${remote.size} files`,
    );
}
