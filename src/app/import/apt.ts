import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { run } from "./command.ts";
import { paragraphsOf, valuesOf } from "./deb822.ts";
import { prune } from "./prune.ts";
import {
  type Claim,
  type Doubt,
  type Progress,
  parallel,
  type Source,
  SourceError,
} from "./source.ts";
import { atOnceMax, below, type Expected, Web } from "./web.ts";

const releaseBytesMax = 16 * 1024 * 1024;
const indexBytesMax = 1024 * 1024 * 1024;
/** What apt looks for by its hash, strongest first. */
const algorithms = ["SHA512", "SHA256"] as const;

export interface AptOptions {
  /** `stable`, `bookworm-updates`, … */
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
  readonly expected: Required<Expected>;
}

/** A Debian archive: the indices of its suites, and the packages that they name. */
export class AptSource implements Source {
  readonly #url: string;
  readonly #options: AptOptions;

  constructor(url: string, options: AptOptions) {
    this.#url = url;
    this.#options = options;
  }

  async bring(staging: string, progress: Progress): Promise<string> {
    if (this.#options.suites.length === 0)
      throw new SourceError("name at least one suite: --suite stable");
    const web = new Web(progress);
    const kept = new Set<string>();
    try {
      for (const suite of this.#options.suites)
        await new Suite({ ...this.#options, web, url: this.#url, staging, suite, kept }).bring();
      await prune(staging, kept);
      return staging;
    } finally {
      await web.close();
    }
  }

  async witness(claims: readonly Claim[]): Promise<readonly Doubt[]> {
    const web = new Web();
    try {
      return await web.witness(claims, (path) => below(this.#url, path));
    } finally {
      await web.close();
    }
  }
}

interface SuiteOptions extends AptOptions {
  readonly web: Web;
  readonly url: string;
  readonly staging: string;
  readonly suite: string;
  /** Paths that belong to the archive now. */
  readonly kept: Set<string>;
}

/** One suite of an archive, brought from its Release file downwards: each file is what the one before says. */
class Suite {
  readonly #use: SuiteOptions;
  readonly #dist: string;

  constructor(use: SuiteOptions) {
    this.#use = use;
    this.#dist = `dists/${use.suite}`;
  }

  async bring(): Promise<void> {
    const release = paragraphsOf(await this.#release())[0] ?? new Map<string, string>();
    await this.#pool(await this.#packages(release));
  }

  async #pool(packages: ReadonlyMap<string, Required<Expected>>): Promise<void> {
    const { web, url, staging, kept } = this.#use;
    await parallel(packages, atOnceMax, async ([path, expected]) => {
      kept.add(path);
      if (!(await web.keep(below(url, path), join(staging, path), expected)))
        throw new SourceError(`${below(url, path)} is named by an index, and is not there`);
    });
  }

  /** The text that the suite's signature covers. */
  async #release(): Promise<string> {
    const { web, url, staging, kept, suite } = this.#use;
    for (const name of ["InRelease", "Release", "Release.gpg"]) {
      const path = `${this.#dist}/${name}`;
      if (await web.keep(below(url, path), join(staging, path))) kept.add(path);
    }
    const file = (name: string): string => join(staging, this.#dist, name);
    const has = (name: string): boolean => kept.has(`${this.#dist}/${name}`);
    if (!has("InRelease") && !has("Release"))
      throw new SourceError(`${url} has no suite ${suite}: neither InRelease nor Release`);
    if (this.#use.keyring !== undefined) return this.#verified(this.#use.keyring, file, has);
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

  async #packages(
    release: ReadonlyMap<string, string>,
  ): Promise<ReadonlyMap<string, Required<Expected>>> {
    const wanted = new Map<string, Required<Expected>>();
    const groups = new Map<string, Index[]>();
    for (const index of this.#indices(release)) {
      const stem = index.name.replace(/\.(gz|xz|bz2|lzma|zst)$/, "");
      groups.set(stem, [...(groups.get(stem) ?? []), index]);
    }
    for (const [stem, forms] of groups) {
      const text = await this.#index(forms, release);
      const isOf = (name: string): boolean => stem.endsWith(`/${name}`);
      if (text === undefined || !(isOf("Packages") || isOf("Sources"))) continue;
      for (const [path, expected] of isOf("Sources") ? sourcesIn(text) : packagesIn(text))
        wanted.set(path, expected);
    }
    return wanted;
  }

  /** What of the suite's indices is asked for, with what the Release file says of them. */
  #indices(release: ReadonlyMap<string, string>): Index[] {
    const { components, architectures } = this.#use;
    const isWanted = (chosen: readonly string[], name: string): boolean =>
      chosen.length === 0 || chosen.includes(name);
    const indices: Index[] = [];
    for (const line of valuesOf(release, "SHA256")) {
      const [sha256 = "", size, name = ""] = line.split(/\s+/);
      const [, component = "", kind = "", arch] =
        /^(.+)\/(source|i18n|binary-([^/]+))\/(Packages|Sources|Translation-en|Release)(\.[a-z0-9]+)?$/.exec(
          name,
        ) ?? [];
      const isHere = isWanted(components, component);
      // Packages for all architectures come with each of them.
      const isFor = kind === "i18n" || arch === "all" || isWanted(architectures, arch ?? kind);
      if (component !== "" && isHere && isFor)
        indices.push({ name, expected: { sha256, size: Number(size) } });
    }
    return indices;
  }

  /** Keeps all forms of an index that the archive has; returns its text. */
  async #index(
    forms: readonly Index[],
    release: ReadonlyMap<string, string>,
  ): Promise<string | undefined> {
    const { web, url, staging, kept } = this.#use;
    let text: Buffer | undefined;
    for (const { name, expected } of forms) {
      const path = `${this.#dist}/${name}`;
      const file = join(staging, path);
      // A Release file names forms that archives do not keep.
      if (!(await web.keep(below(url, path), file, expected))) continue;
      kept.add(path);
      const bytes = await readFile(file);
      if (release.get("Acquire-By-Hash") === "yes") await this.#byHash(path, bytes, release);
      text ??= await plain(name, bytes);
    }
    return text?.toString();
  }

  /** Clients ask by the strongest hash that the Release file has. */
  async #byHash(path: string, bytes: Buffer, release: ReadonlyMap<string, string>): Promise<void> {
    const { web, url, staging, kept } = this.#use;
    for (const algorithm of algorithms) {
      if (!release.has(algorithm)) continue;
      const hash = createHash(algorithm).update(bytes).digest("hex");
      const named = `${dirname(path)}/by-hash/${algorithm}/${hash}`;
      const file = join(staging, named);
      await mkdir(dirname(file), { recursive: true });
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      // Where the archive has it by this name too, it is the archive's.
      if (await web.keep(below(url, named), file, { size: bytes.length, sha256 })) kept.add(named);
    }
  }
}

/** The signed text of a cleartext signature (RFC 9580 §7), unverified. */
function withoutArmour(text: string): string {
  const [, signed] =
    /^-----BEGIN PGP SIGNED MESSAGE-----\n(?:.+\n)*\n([\s\S]*?)\n-----BEGIN PGP SIGNATURE-----/.exec(
      text,
    ) ?? [];
  return (signed ?? text).replace(/^- /gm, "");
}

async function plain(name: string, bytes: Buffer): Promise<Buffer | undefined> {
  if (/\/[A-Za-z-]+$/.test(name)) return bytes;
  if (name.endsWith(".gz")) return promisify(gunzip)(bytes, { maxOutputLength: indexBytesMax });
  if (name.endsWith(".xz")) return run("xz", ["-dc"], { input: bytes });
  return undefined;
}

function* packagesIn(text: string): Generator<[string, Required<Expected>]> {
  for (const about of paragraphsOf(text)) {
    const [path, sha256] = [about.get("Filename"), about.get("SHA256")];
    if (path === undefined || sha256 === undefined) continue;
    yield [clean(path), { sha256, size: Number(about.get("Size")) }];
  }
}

function* sourcesIn(text: string): Generator<[string, Required<Expected>]> {
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
