import type { Command } from "commander";
import pc from "picocolors";
import { askJson } from "../app/client/index.ts";
import { loadConfig } from "../app/config/index.ts";
import type { CollectionReport } from "../app/node/index.ts";
import { type CommonOptions, homeDirectory, withHome, withOutput } from "./context.ts";
import { bytesText, say, sayJson, sayTable } from "./output.ts";

/** A host with millions of files takes its time. */
const patienceMs = 3_600_000;

/** `smalti gc`: the running host removes content that no kept height names, now. */
export function gcCommand(program: Command): void {
  withOutput(
    withHome(
      program
        .command("gc")
        .description("remove content that no kept height names from the running host ([retain])"),
    ),
  )
    .option("--dry-run", "show what would be removed")
    .action(collect);
}

async function collect(options: CommonOptions & { readonly dryRun?: boolean }): Promise<void> {
  const { admin, retain } = await loadConfig(homeDirectory(options));
  const isDry = options.dryRun === true;
  const report = await askJson<CollectionReport>(`http://${admin.listen}/gc`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ dry: isDry }),
    patienceMs,
  });
  if (options.output === "json") return sayJson({ ...report, isDry });
  const { heights, blobs, removed, removedBytes, freedBytes, missing, fetched } = report;
  const more = heights.more.length === 0 ? "" : `, and ${heights.more.join(", ")}`;
  sayTable(
    ["", ""],
    [
      ["heights kept", `${heights.from}…${heights.newest}${more} (heights = "${retain.heights}")`],
      ["contents here before", String(blobs)],
      [isDry ? "would be removed" : "removed", `${removed} (${bytesText(removedBytes)})`],
      ["given back by packs", bytesText(freedBytes)],
      ["of kept heights, not here", `${missing}${isDry ? "" : `, ${fetched} fetched`}`],
    ],
  );
  if (missing > fetched && !isDry)
    say(pc.yellow("some content of kept heights is nowhere to be had just now"));
}
