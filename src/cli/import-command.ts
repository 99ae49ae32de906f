import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { ConfigError } from "../app/genesis/index.ts";
import {
  kindOf,
  openSource,
  type SourceOptions,
  type SourceSpec,
  sourceKinds,
} from "../app/import/index.ts";
import { limits } from "../core/base/index.ts";
import type { UpdateSource } from "../core/mirror/index.ts";
import {
  checkTree,
  homeDirectory,
  secondsFlag,
  trustOf,
  withOutput,
  withTrust,
} from "./context.ts";
import { Omissions } from "./omissions.ts";
import { bytesText, note, progressBar } from "./output.ts";
import { maxDeleteOption, type PublishFlags, publish } from "./publish-commands.ts";

interface ImportFlags extends PublishFlags {
  readonly observers?: true | number;
  readonly patience: number;
  readonly every?: number;
  readonly cache?: string;
  readonly keep?: boolean;
  readonly suite?: readonly string[];
  readonly component?: readonly string[];
  readonly arch?: readonly string[];
  readonly keyring?: string;
  readonly package?: readonly string[];
  readonly lock?: string;
  readonly also?: readonly string[];
}

/** `smalti import`: follow an archive that is elsewhere. */
export function importCommand(program: Command): void {
  withOutput(
    withTrust(
      program
        .command("import <kind> <url> <tree>")
        .description(`bring an archive from elsewhere into a tree (${sourceKinds.join(", ")})`),
    ),
  )
    .option("--key <file>", "the publisher's key")
    .option(
      "--observers [n]",
      "admit only what so many writers saw at the source themselves (default: 2f+1)",
      observersFlag,
    )
    .option(
      "--patience <time>",
      "how long so many writers may refuse that it cannot be admitted",
      secondsFlag,
      30,
    )
    .option("--every <time>", "go on, and look again after so long (15m, 1h)", secondsFlag)
    .option("--keep", "keep in the tree what the source has no more")
    .option(...maxDeleteOption)
    .option("--no-strict", "bring the rest where something of the source cannot be in a tree")
    .option("--dry-run", "show what would change")
    .option("--receipt <file>", "keep the receipt")
    .option("--also <url...>", "places within this network that the source may lead to")
    .option("--cache <dir>", "where what was fetched is kept (default: below the home)")
    .option("--suite <name...>", "apt: suites")
    .option("--component <name...>", "apt: components (default: all)")
    .option("--arch <name...>", "apt: architectures, or source (default: all)")
    .option("--keyring <file>", "apt: keys that must have signed the suites (needs gpgv)")
    .option("--package <name...>", "npm: NAME or NAME@VERSION; pypi: NAME or NAME==VERSION")
    .option("--lock <file>", "npm: all that a package-lock.json installs")
    .action((...given: [kind: string, url: string, tree: string, flags: ImportFlags]) => {
      const [kind, url, tree, flags] = given;
      return follow(specOf(kind, url), tree, flags);
    });
}

function observersFlag(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > limits.committeeWritersMax)
    throw new ConfigError("USAGE", `--observers takes a number of writers, not ${text}`);
  return count;
}

function specOf(kindText: string, address: string): SourceSpec {
  const kind = kindOf(kindText);
  return { kind, url: kind === "dir" ? resolve(address) : address };
}

async function follow(spec: SourceSpec, tree: string, flags: ImportFlags): Promise<void> {
  checkTree(tree);
  const { every } = flags;
  if (every === undefined) return importOnce(spec, tree, flags);
  if (every < 1 || !Number.isFinite(every))
    throw new ConfigError("USAGE", "--every takes a time of at least a second");
  for (;;) {
    // One bad hour of the source, or of the network, is no reason not to look again.
    await importOnce(spec, tree, flags).catch((error: unknown) =>
      note(`smalti: ${error instanceof Error ? error.message : String(error)}`),
    );
    await sleep(every * 1000);
  }
}

async function importOnce(spec: SourceSpec, tree: string, flags: ImportFlags): Promise<void> {
  const source = await openSource({ ...spec, also: flags.also }, selectionOf(flags));
  const bar = progressBar("fetching");
  let [files, bytes] = [0, 0];
  const omissions = new Omissions();
  const show = (): void => bar.update(files, Math.max(files, 1));
  const directory = await source
    .bring(stagingOf(spec, tree, flags), {
      onFile: () => {
        files++;
        show();
      },
      onBytes: (more) => {
        bytes += more;
      },
      onNote: (text) => note(`note: ${text}`),
      onOmitted: omissions.add,
    })
    .finally(() => bar.stop());
  if (flags.output !== "json") note(`${files} files fetched from ${spec.url}, ${bytesText(bytes)}`);
  const { keep: _, ...options } = flags;
  const from = await witnessedSource(spec, flags);
  await publish(directory, tree, {
    ...options,
    delete: flags.keep !== true,
    patienceS: flags.patience,
    omissions,
    ...(from === undefined ? {} : { source: from }),
  });
}

/** What the writers are to look at, if they are. */
async function witnessedSource(
  spec: SourceSpec,
  flags: ImportFlags,
): Promise<UpdateSource | undefined> {
  const { observers } = flags;
  if (observers === undefined) return undefined;
  const { network } = await trustOf(flags);
  const wanted = observers === true ? network.quorum : observers;
  if (wanted > network.writers.length)
    throw new ConfigError(
      "USAGE",
      `--observers ${wanted} is more than the ${network.writers.length} writers of this network`,
    );
  return { ...spec, observers: Math.max(wanted, network.quorum) };
}

function selectionOf(flags: ImportFlags): SourceOptions {
  const { suite, component, arch, keyring, lock } = flags;
  return {
    suites: suite ?? [],
    components: component ?? [],
    architectures: arch ?? [],
    packages: flags.package ?? [],
    ...(keyring === undefined ? {} : { keyring: resolve(keyring) }),
    ...(lock === undefined ? {} : { lock }),
  };
}

/** One directory for each source and tree. */
function stagingOf({ kind, url }: SourceSpec, tree: string, flags: ImportFlags): string {
  const name = createHash("sha256").update(`${kind} ${url} ${tree}`).digest("hex").slice(0, 24);
  return join(flags.cache ?? join(homeDirectory(flags), "import"), name);
}
