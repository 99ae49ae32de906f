import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { limits } from "../../core/base/index.ts";
import { run } from "./command.ts";
import { paragraphsOf, valuesOf } from "./deb822.ts";
import type { Reach } from "./reach.ts";
import {
  type Claim,
  type Doubt,
  type Progress,
  parallel,
  type Source,
  SourceError,
} from "./source.ts";
import { Staging } from "./staging.ts";
import { addressBelow, atOnceMax, type Expected, Web } from "./web.ts";

const releaseBytesMax = 16 * 1024 * 1024;
const indexBytesMax = 1024 * 1024 * 1024;
const releaseNames: readonly string[] = ["InRelease", "Release", "Release.gpg"];
/** What apt looks for by its hash, strongest first. */
const algorithms = ["SHA512", "SHA256"] as const;

export interface AptOptions {
  /** `stable`, `bookworm-updates`, …; of a flat archive a directory: `./`, `amd64/`. */
  readonly suites: readonly string[];
  /** All that the suite has, if none is named. */
  readonly components: readonly string[];
  /** All that the suite has, if none is named; `source` for source packages. */
  readonly architectures: readonly string[];
  /** Keys that must have signed the suite's Release file; it is taken as it is without. */
  readonly keyring?: string;
}

interface Index {
  readonly name: string;
  readonly expected: Expected;
}

/** What an index says of a file. */
type Exact = Required<Pick<Expected, "size" | "sha256">>;

interface Indices {
  readonly list: readonly Index[];
  /** Algorithms by whose hashes clients ask for indices. */
  readonly hashes: readonly string[];
}

/** A Debian archive: the indices of its suites, and the packages that they name. */
export class AptSource implements Source {
  readonly #reach: Reach;
  readonly #url: string;
  readonly #options: AptOptions;

  constructor(reach: Reach, options: AptOptions) {
    this.#reach = reach;
    this.#url = reach.url;
    this.#options = options;
  }

  async bring(work: string, progress: Progress): Promise<string> {
    if (this.#options.suites.length === 0)
      throw new SourceError(
        "name at least one suite: --suite stable, or --suite ./ of a flat archive",
      );
    const web = new Web(this.#reach, progress);
    try {
      const staging = await Staging.open(work);
      for (const suite of this.#options.suites)
        await new Suite({
          ...this.#options,
          web,
          url: this.#url,
          staging,
          suite,
          progress,
        }).bring();
      return await staging.finish();
    } finally {
      await web.close();
    }
  }

  async witness(claims: readonly Claim[]): Promise<readonly Doubt[]> {
    const web = new Web(this.#reach);
    try {
      return await web.witness(claims, (path) => addressBelow(this.#url, path));
    } finally {
      await web.close();
    }
  }
}

interface SuiteOptions extends AptOptions {
  readonly web: Web;
  readonly url: string;
  readonly staging: Staging;
  readonly suite: string;
  readonly progress: Progress;
}

/** One suite of an archive, brought from its Release file downwards: each file is what the one before says. */
class Suite {
  readonly #use: SuiteOptions;
  /** Where its Release file is, with a slash at the end: below `dists`, or of a flat archive (`./`, `dir/`) anywhere. */
  readonly #dist: string;

  constructor(use: SuiteOptions) {
    this.#use = use;
    const isFlat = use.suite.endsWith("/");
    this.#dist = isFlat ? use.suite.replace(/^(\.?\/)+/, "") : `dists/${use.suite}/`;
  }

  get #isFlat(): boolean {
    return this.#use.suite.endsWith("/");
  }

  async bring(): Promise<void> {
    const text = await this.#release();
    const indices = text === undefined ? this.#unnamed() : this.#indices(text);
    await this.#pool(await this.#packages(indices));
  }

  #keep(path: string, expected?: Expected): Promise<boolean> {
    const { web, url, staging } = this.#use;
    return web.keep(addressBelow(url, path), { staging, path }, expected);
  }

  async #pool(packages: ReadonlyMap<string, Exact>): Promise<void> {
    await parallel(packages, atOnceMax, async ([path, expected]) => {
      if (!(await this.#keep(path, expected)))
        throw new SourceError(
          `${addressBelow(this.#use.url, path)} is named by an index, and is not there`,
        );
    });
  }

  /** The text that the suite's signature covers; a flat archive may have none. */
  async #release(): Promise<string | undefined> {
    const { url, staging, suite, keyring } = this.#use;
    for (const name of releaseNames) await this.#keep(this.#dist + name, { max: releaseBytesMax });
    const file = (name: string): string => staging.file(this.#dist + name);
    const has = (name: string): boolean => staging.has(this.#dist + name);
    const isNamed = has("InRelease") || has("Release");
    if (!isNamed && this.#isFlat && keyring === undefined) return undefined;
    if (!isNamed)
      throw new SourceError(`${url} has no suite ${suite}: neither InRelease nor Release`);
    if (keyring !== undefined) return this.#verified(keyring, file, has);
    const text = await readFile(file(has("InRelease") ? "InRelease" : "Release"), "utf8");
    if (text.length > releaseBytesMax) throw new SourceError(`${suite}: the Release is too long`);
    return withoutArmour(text);
  }

  async #verified(
    keyring: string,
    file: (name: string) => string,
    has: (name: string) => boolean,
  ): Promise<string> {
    const gpgv = ["--keyring", keyring];
    if (has("InRelease"))
      return (await run("gpgv", [...gpgv, "--output", "-", file("InRelease")])).toString();
    await run("gpgv", [...gpgv, file("Release.gpg"), file("Release")]);
    return readFile(file("Release"), "utf8");
  }

  /** What a flat archive without a Release file may have. */
  #unnamed(): Indices {
    const names = ["Packages", "Sources"].flatMap((name) => forms.map((form) => name + form));
    return { list: names.map((name) => ({ name, expected: { max: indexBytesMax } })), hashes: [] };
  }

  /** What of the suite's indices is asked for, with what the Release file says of them. */
  #indices(text: string): Indices {
    const release = paragraphsOf(text)[0] ?? new Map<string, string>();
    const list = valuesOf(release, "SHA256").flatMap((line) => {
      const [sha256 = "", size, name = ""] = line.split(/\s+/);
      if (!this.#isWanted(release, name)) return [];
      return [{ name: clean(name), expected: { sha256, size: Number(size) } }];
    });
    const isByHash = release.get("Acquire-By-Hash") === "yes";
    return { list, hashes: algorithms.filter((name) => isByHash && release.has(name)) };
  }

  /** By the component that the path begins with and the architecture that is in it; what is of neither is wanted. */
  #isWanted(release: ReadonlyMap<string, string>, name: string): boolean {
    // Tools that write it while they look at the directory name it itself, half written.
    if (releaseNames.includes(name)) return false;
    const { components, architectures, progress } = this.#use;
    const all = (release.get("Components") ?? "").split(/\s+/);
    const component = all.find((one) => name.startsWith(`${one.replace(/^.*\//, "")}/`));
    const isChosen = (one: string): boolean =>
      components.length === 0 ||
      components.includes(one) ||
      components.includes(one.replace(/^.*\//, ""));
    if (component !== undefined && !isChosen(component)) return false;
    const arch = architectureIn(name);
    // What is for all architectures comes with each of them.
    if (arch !== undefined && arch !== "all" && architectures.length > 0)
      if (!architectures.includes(arch)) return false;
    const left = leftOut.find(({ names }) => names.test(name));
    if (left !== undefined) progress.onNote?.(`${this.#dist}${name}: ${left.why}`);
    return left === undefined;
  }

  /** The files that the indices name, below the archive's root. */
  async #packages({ list, hashes }: Indices): Promise<ReadonlyMap<string, Exact>> {
    const wanted = new Map<string, Exact>();
    let isAny = false;
    for (const [stem, group] of formsOf(list)) {
      const kind = /(?:^|\/)(Packages|Sources)$/.exec(stem)?.[1];
      const kept = await this.#index(group, hashes);
      if (kind === undefined || kept.length === 0) continue;
      isAny = true;
      const text = await this.#text(kept);
      for (const [path, expected] of kind === "Sources" ? sourcesIn(text) : packagesIn(text))
        wanted.set(path, expected);
      if (wanted.size > limits.changesMax)
        throw new SourceError(`${this.#use.url} names more than ${limits.changesMax} packages`);
    }
    if (!isAny)
      throw new SourceError(
        `${this.#use.url}: the suite ${this.#use.suite} has no Packages or Sources of what is asked for (--component, --arch)`,
      );
    return wanted;
  }

  /** Keeps all forms of an index that the archive has; a Release file names forms that archives do not keep. */
  async #index(group: readonly Index[], hashes: readonly string[]): Promise<readonly string[]> {
    const kept: string[] = [];
    for (const { name, expected } of group) {
      const path = this.#dist + name;
      if (!(await this.#keep(path, expected))) continue;
      kept.push(name);
      if (hashes.length > 0) await this.#byHash(path, hashes);
    }
    return kept;
  }

  /** The cheapest form to read comes first. */
  async #text(names: readonly string[]): Promise<string> {
    const formOf = (name: string): number =>
      forms.findIndex((one) => one !== "" && name.endsWith(one));
    const [name = ""] = names.toSorted((a, b) => formOf(a) - formOf(b));
    const bytes = await readFile(this.#use.staging.file(this.#dist + name));
    return (await plain(name, bytes)).toString();
  }

  /** Clients ask by the strongest hash that the Release file has. */
  async #byHash(path: string, hashes: readonly string[]): Promise<void> {
    const bytes = await readFile(this.#use.staging.file(path));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    for (const algorithm of hashes) {
      const hash = createHash(algorithm).update(bytes).digest("hex");
      const named = `${path.slice(0, path.lastIndexOf("/") + 1)}by-hash/${algorithm}/${hash}`;
      // Where the archive has it by this name too, it is the archive's.
      await this.#keep(named, { size: bytes.length, sha256 });
    }
  }
}

/** Indices by their names without what says how they are compressed. */
function formsOf(list: readonly Index[]): ReadonlyMap<string, readonly Index[]> {
  const groups = new Map<string, Index[]>();
  for (const index of list) {
    const stem = index.name.replace(/\.(gz|xz|bz2|lzma|zst)$/, "");
    const group = groups.get(stem);
    if (group === undefined) groups.set(stem, [index]);
    else group.push(index);
  }
  return groups;
}

/** The architecture that an index is for, `source` for source packages. */
function architectureIn(name: string): string | undefined {
  const [, binary, source, other] =
    /(?:^|\/)(?:binary-([^/.]+)\/|(source)\/|(?:Contents|Components|Commands)-(?:udeb-)?([^/.]+)(?:\.[^/]*)?$)/.exec(
      name,
    ) ?? [];
  return binary ?? source ?? other;
}

/** Indices of things that are not brought, and would lead clients to ask for them. */
const leftOut = [
  { names: /\.diff\/Index$/, why: "differences between versions of an index are left out" },
  { names: /\/installer-[^/]+\//, why: "images of the installer are left out" },
] as const;

/** The signed text of a cleartext signature (RFC 9580 §7), unverified. */
function withoutArmour(text: string): string {
  const [, signed] =
    /^-----BEGIN PGP SIGNED MESSAGE-----\n(?:.+\n)*\n([\s\S]*?)\n-----BEGIN PGP SIGNATURE-----/.exec(
      text,
    ) ?? [];
  return (signed ?? text).replace(/^- /gm, "");
}

/** Forms of an index, the cheapest to read first. */
const forms = ["", ".gz", ".xz", ".zst", ".bz2", ".lzma"] as const;

async function plain(name: string, bytes: Buffer): Promise<Buffer> {
  if (name.endsWith(".gz")) return promisify(gunzip)(bytes, { maxOutputLength: indexBytesMax });
  if (name.endsWith(".xz")) return run("xz", ["-dc"], { input: bytes });
  if (name.endsWith(".lzma")) return run("xz", ["--format=lzma", "-dc"], { input: bytes });
  if (name.endsWith(".bz2")) return run("bzip2", ["-dc"], { input: bytes });
  return name.endsWith(".zst") ? run("zstd", ["-dc"], { input: bytes }) : bytes;
}

function* packagesIn(text: string): Generator<[string, Exact]> {
  for (const about of paragraphsOf(text)) {
    const [path, sha256] = [about.get("Filename"), about.get("SHA256")];
    if (path === undefined || sha256 === undefined) continue;
    yield [clean(path), { sha256, size: Number(about.get("Size")) }];
  }
}

function* sourcesIn(text: string): Generator<[string, Exact]> {
  for (const about of paragraphsOf(text)) {
    for (const line of valuesOf(about, "Checksums-Sha256")) {
      const [sha256 = "", size, name = ""] = line.split(/\s+/);
      yield [clean(`${about.get("Directory") ?? ""}/${name}`), { sha256, size: Number(size) }];
    }
  }
}

/** A path below the archive's root and nowhere else. */
function clean(path: string): string {
  const names = path.replace(/^(\.\/)+/, "").split("/");
  if (names.some((name) => name === "" || name === "." || name === ".."))
    throw new SourceError(`an index names the path ${JSON.stringify(path)}`);
  return names.join("/");
}
