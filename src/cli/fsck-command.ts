import type { Command } from "commander";
import pc from "picocolors";
import { homeOf, loadConfig, loadGenesis } from "../app/config/index.ts";
import { type FsckReport, fsck } from "../app/node/index.ts";
import { CodedError } from "../core/base/index.ts";
import { type CommonOptions, homeDirectory, withHome, withOutput } from "./context.ts";
import { bytesText, progressBar, say, sayJson } from "./output.ts";

interface FsckFlags extends CommonOptions {
  readonly repair?: boolean;
}

/** `smalti fsck`: a stopped host's data, from the log down to every byte. */
export function fsckCommand(program: Command): void {
  withOutput(
    withHome(
      program
        .command("fsck")
        .description(
          "check a stopped host's data: log, directories, every file; --repair heals from any neighbour",
        ),
    ),
  )
    .option("--repair", "fetch content that is missing or damaged from neighbours")
    .option("--from <url...>", "neighbours (default: whom the host follows, and the writers)")
    .action(run);
}

async function run(options: FsckFlags): Promise<void> {
  const directory = homeDirectory(options);
  const bar = progressBar("files");
  const report = await fsck(directory, {
    servers: options.repair === true ? await neighbours(directory, options) : [],
    onFile: (done, total) => bar.update(done, total),
  }).finally(() => bar.stop());
  if (options.output === "json") sayJson(report);
  else tell(report);
  const left = report.problems.filter(({ isRepaired }) => !isRepaired);
  if (left.length === 0) return;
  const what = left.some(({ kind }) => kind !== "file")
    ? "log or directories are damaged: remove data/state and start the host, it makes them anew from its log"
    : options.repair === true
      ? "no neighbour had it: name others with --from"
      : "heal it with --repair, or start the host: it fetches what is asked for";
  throw new CodedError("INCOMPLETE", `${left.length} problems are left; ${what}`);
}

async function neighbours(directory: string, options: FsckFlags): Promise<readonly string[]> {
  if (options.from !== undefined) return options.from;
  const config = await loadConfig(directory);
  const { writers } = await loadGenesis(homeOf(directory, config).genesisFile);
  return [...new Set([...config.sync.from, ...writers.map(({ http }) => http)])];
}

function tell({ leaves, heights, directories, files, bytes, problems }: FsckReport): void {
  say(
    `${leaves} leaves, ${heights} heights, ${directories} directory nodes, ${files} files (${bytesText(bytes)}) checked`,
  );
  for (const { kind, what, detail, isRepaired } of problems)
    say(`${isRepaired ? pc.green("healed") : pc.red("damaged")} ${kind} ${what}: ${detail}`);
  if (problems.length === 0) say(pc.green("all is as the log says"));
}
