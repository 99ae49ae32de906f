import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, mkdtemp, readlink, realpath, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "./command.ts";
import {
  type Claim,
  type Doubt,
  differs,
  missing,
  type Progress,
  type Seen,
  type Source,
  SourceError,
} from "./source.ts";

/** What a directory has at each path of `claims`: content, kind and the executable bit; no link is followed. */
async function witnessFiles(
  directory: string,
  claims: readonly Claim[],
): Promise<readonly Doubt[]> {
  const root = await realpath(directory);
  const doubts: Doubt[] = [];
  for (const claim of claims) doubts.push(...(await witnessFile(root, claim)));
  return doubts;
}

async function witnessFile(root: string, { path, leaf }: Claim): Promise<readonly Doubt[]> {
  const file = join(root, path);
  const found = await lstat(file).catch(() => undefined);
  const parent = await realpath(dirname(file)).catch(() => undefined);
  if (found === undefined || parent !== dirname(file)) return [missing(path)];
  if (leaf.kind === "link") {
    const isSame = found.isSymbolicLink() && (await readlink(file)) === leaf.target;
    return isSame ? [] : [differs(path)];
  }
  const isAlike =
    found.isFile() && found.size === leaf.size && hasBit(found.mode) === leaf.executable;
  return isAlike && (await sha256Of(file)) === leaf.digest ? [] : [differs(path)];
}

const hasBit = (mode: number): boolean => (mode & 0o111) !== 0;

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

/** A directory that every writer has as well: a shared disk, or a copy that each made by its own means. */
export class DirectorySource implements Source {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async bring(): Promise<string> {
    if (!(await lstat(this.#directory).catch(() => undefined))?.isDirectory())
      throw new SourceError(`${this.#directory} is not a directory`);
    return this.#directory;
  }

  witness(claims: readonly Claim[]): Promise<readonly Doubt[]> {
    return witnessFiles(this.#directory, claims);
  }
}

/** A module of an rsync daemon; `rsync` itself does the work. */
export class RsyncSource implements Source {
  readonly #url: string;

  constructor(url: string) {
    if (!url.startsWith("rsync://"))
      throw new SourceError(`${url} is no rsync address; expected rsync://HOST/MODULE/`);
    this.#url = `${url.replace(/\/+$/, "")}/`;
  }

  async bring(staging: string, { onFile, onOmitted }: Progress): Promise<string> {
    await mkdir(staging, { recursive: true });
    const how = ["--recursive", "--links", "--times", "--executability", "--delete"];
    const listed = await run("rsync", [...how, "--out-format=%n", "--", this.#url, staging]);
    for (const line of listed.toString().split("\n")) {
      const [, skipped] = /^skipping non-regular file "(.*)"$/.exec(line) ?? [];
      if (skipped !== undefined) onOmitted?.(skipped, "it is neither a file nor a link");
      else if (line !== "") onFile?.(line);
    }
    return staging;
  }

  async witness(claims: readonly Claim[], { work }: Seen): Promise<readonly Doubt[]> {
    await mkdir(work, { recursive: true });
    const directory = await mkdtemp(join(work, "rsync-"));
    try {
      const how = ["--links", "--executability", "--files-from=-", "--from0"];
      await run("rsync", [...how, "--", this.#url, directory], {
        input: claims.map(({ path }) => path).join("\0"),
        fine: [someMissing],
      });
      return await witnessFiles(directory, claims);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** The exit code of rsync when some of the files are not there. */
const someMissing = 23;
