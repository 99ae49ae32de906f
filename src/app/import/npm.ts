import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import ssri from "ssri";
import * as v from "valibot";
import type { Reach } from "./reach.ts";
import {
  type Claim,
  type Doubt,
  differs,
  foreign,
  missing,
  type Progress,
  parallel,
  remembered,
  type Seen,
  type Source,
  SourceError,
} from "./source.ts";
import { Staging } from "./staging.ts";
import { atOnceMax, Web } from "./web.ts";

const packumentBytesMax = 256 * 1024 * 1024;

/** What a registry says of a package; what else it says (counts, readme, internals) changes too often to be witnessed. */
const packument = v.object({
  name: v.string(),
  "dist-tags": v.record(v.string(), v.string()),
  versions: v.record(
    v.string(),
    v.looseObject({
      dist: v.looseObject({
        tarball: v.string(),
        integrity: v.optional(v.pipe(v.string(), v.minLength(1))),
      }),
    }),
  ),
  time: v.optional(v.record(v.string(), v.string())),
});
type Packument = v.InferOutput<typeof packument>;

/** A lock file of npm, as far as it says what is installed. */
const lockFile = v.object({
  packages: v.record(
    v.string(),
    v.looseObject({ version: v.optional(v.string()), name: v.optional(v.string()) }),
  ),
});

/** Package names, each with its versions, or with none for all. */
export type Selection = ReadonlyMap<string, ReadonlySet<string>>;

/** `name`, `name@version`, `@scope/name@version`. */
export function selectionOf(specs: readonly string[]): Selection {
  const selection = new Map<string, Set<string>>();
  for (const spec of specs) {
    const [, name = "", version] = /^(@?[^@]+)(?:@(.+))?$/.exec(spec) ?? [];
    if (!isPackageName(name)) throw new SourceError(`${JSON.stringify(spec)} names no package`);
    const versions = selection.get(name);
    const isAll = version === undefined || versions?.size === 0;
    selection.set(name, isAll ? new Set() : new Set([...(versions ?? []), version]));
  }
  return selection;
}

/** Everything that `package-lock.json` installs (lock file version 2 or 3). */
function selectionOfLock(text: string, file: string): Selection {
  let parsed: ReturnType<typeof v.safeParse<typeof lockFile>>;
  try {
    parsed = v.safeParse(lockFile, JSON.parse(text));
  } catch {
    throw new SourceError(`${file} is not JSON`);
  }
  if (!parsed.success)
    throw new SourceError(
      `${file} is no package-lock.json of version 2 or 3; make it with npm 7 or newer`,
    );
  const specs: string[] = [];
  for (const [place, { name, version }] of Object.entries(parsed.output.packages)) {
    const at = place.lastIndexOf("node_modules/");
    if (at < 0 || version === undefined) continue;
    specs.push(`${name ?? place.slice(at + "node_modules/".length)}@${version}`);
  }
  return selectionOf(specs);
}

function isPackageName(name: string): boolean {
  return /^(@[a-z0-9~_-][\w.~-]*\/)?[\w~-][\w.~-]*$/i.test(name);
}

/** Some packages of an npm registry: packuments at `NAME/index.json`, tarballs at `NAME/-/FILE.tgz`. */
export class NpmSource implements Source {
  readonly #reach: Reach;
  readonly #url: string;
  readonly #selection: Selection;

  constructor(reach: Reach, selection: Selection) {
    this.#reach = reach;
    this.#url = reach.url.replace(/\/+$/, "");
    this.#selection = selection;
  }

  async bring(work: string, progress: Progress): Promise<string> {
    if (this.#selection.size === 0)
      throw new SourceError(
        "name packages: --package NAME[@VERSION] …, or --lock package-lock.json",
      );
    const web = new Web(this.#reach, progress);
    try {
      const staging = await Staging.open(work);
      await parallel(this.#selection, atOnceMax, ([name, versions]) =>
        this.#package({ web, staging }, name, versions),
      );
      return await staging.finish();
    } finally {
      await web.close();
    }
  }

  async #package(
    { web, staging }: { web: Web; staging: Staging },
    name: string,
    versions: ReadonlySet<string>,
  ): Promise<void> {
    const all = await this.#packument(web, name);
    if (all === undefined) throw new SourceError(`${this.#url} has no package ${name}`);
    const chosen = partOf(all, name, versions);
    for (const [version, { dist }] of Object.entries(chosen.versions)) {
      const path = tarballPath(name, dist.tarball);
      const file = staging.file(path);
      staging.keep(path);
      if (await isIntact(file, dist.integrity)) continue;
      await staging.remove(path);
      if (!(await web.keep(dist.tarball, { staging, path })))
        throw new SourceError(`${dist.tarball} is not there`);
      if (await isIntact(file, dist.integrity ?? "")) continue;
      await staging.remove(path);
      throw new SourceError(`${dist.tarball} is not what ${name}@${version} says (integrity)`);
    }
    await staging.placeText(`${name}/index.json`, JSON.stringify(chosen));
  }

  async #packument(web: Web, name: string): Promise<Packument | undefined> {
    const url = `${this.#url}/${name.replace("/", "%2f")}`;
    const found = await web.document(url, packumentBytesMax, { accept: "application/json" });
    return found && readPackument(found.bytes.toString(), url);
  }

  async witness(claims: readonly Claim[], seen: Seen): Promise<readonly Doubt[]> {
    const web = new Web(this.#reach);
    const doubts: Doubt[] = [];
    const known = remembered((name) => this.#packument(web, name));
    try {
      await parallel(claims, atOnceMax, async (claim) => {
        const [, name = "", rest = ""] = /^(.+?)\/(index\.json|-\/[^/]+)$/.exec(claim.path) ?? [];
        if (claim.leaf.kind !== "file" || claim.leaf.executable || !isPackageName(name))
          return void doubts.push(foreign(claim.path));
        const upstream = await known(name);
        if (upstream === undefined) return void doubts.push(missing(claim.path));
        if (rest === "index.json") {
          const text = Buffer.from(await seen.bytes(claim.path)).toString();
          if (!isPart(text, upstream)) doubts.push(differs(claim.path));
          return;
        }
        const tarballs = Object.values(upstream.versions).map(({ dist }) => dist.tarball);
        const url = tarballs.find((tarball) => tarballPath(name, tarball) === claim.path);
        doubts.push(...(await web.witness([claim], () => url)));
      });
      return doubts;
    } finally {
      await web.close();
    }
  }
}

function readPackument(text: string, what: string): Packument {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new SourceError(`${what} is not JSON`);
  }
  const parsed = v.safeParse(packument, json);
  if (!parsed.success)
    throw new SourceError(`${what} is no packument: ${parsed.issues[0].message}`);
  return parsed.output;
}

/** The chosen versions, and the tags that point at them. */
function partOf(all: Packument, name: string, versions: ReadonlySet<string>): Packument {
  for (const version of versions)
    if (!Object.hasOwn(all.versions, version))
      throw new SourceError(`there is no ${name}@${version}`);
  const isChosen = (version: string): boolean =>
    (versions.size === 0 || versions.has(version)) && Object.hasOwn(all.versions, version);
  const only = <T>(record: Record<string, T>, keep: (key: string, value: T) => boolean) =>
    Object.fromEntries(Object.entries(record).filter(([key, value]) => keep(key, value)));
  const { time } = all;
  return {
    name: all.name,
    "dist-tags": only(all["dist-tags"], (_, version) => isChosen(version)),
    versions: only(all.versions, isChosen),
    ...(time === undefined ? {} : { time: only(time, isChosen) }),
  };
}

/** True if a published packument says nothing but what the registry says: no other field, no field twice. */
function isPart(text: string, all: Packument): boolean {
  const part = readPackument(text, "what was published");
  if (JSON.stringify(part) !== text) return false;
  const agrees = (some: object, whole: object): boolean =>
    Object.entries(some).every(
      ([key, value]) =>
        Object.hasOwn(whole, key) && isDeepStrictEqual(value, whole[key as keyof typeof whole]),
    );
  return (
    part.name === all.name &&
    agrees(part["dist-tags"], all["dist-tags"]) &&
    agrees(part.versions, all.versions) &&
    agrees(part.time ?? {}, all.time ?? {})
  );
}

function tarballPath(name: string, tarball: string): string {
  const file = URL.canParse(tarball) ? basename(new URL(tarball).pathname) : "";
  if (!/^[\w.~+-]+\.tgz$/.test(file))
    throw new SourceError(`${name}: ${tarball} is no tarball's address`);
  return `${name}/-/${file}`;
}

/** Without an integrity nothing can be said, and a file that is here is taken as it is only if `""` asks for no more. */
async function isIntact(file: string, integrity: string | undefined): Promise<boolean> {
  if (integrity === undefined || !(await stat(file).catch(() => undefined))) return false;
  if (integrity === "") return true;
  return ssri.checkStream(createReadStream(file), integrity).then(
    () => true,
    () => false,
  );
}

/** The selection of a lock file on this disk. */
export async function readLock(file: string): Promise<Selection> {
  const text = await readFile(file, "utf8").catch(() => {
    throw new SourceError(`cannot read ${file}`);
  });
  return selectionOfLock(text, file);
}
