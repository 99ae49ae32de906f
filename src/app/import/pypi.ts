import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { linksOf } from "./http.ts";
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

const pageBytesMax = 64 * 1024 * 1024;
const json = "application/vnd.pypi.simple.v1+json";

const hashes = v.record(v.string(), v.string());
/** A file of a project, as PEP 691 says it, with PEP 714's name for the separate metadata of PEP 658. */
const projectFile = v.object({
  filename: v.pipe(v.string(), v.regex(/^[\w.+!-]+$/)),
  url: v.string(),
  hashes,
  "requires-python": v.optional(v.nullable(v.string())),
  yanked: v.optional(v.union([v.boolean(), v.string()])),
  "core-metadata": v.optional(v.union([v.boolean(), hashes])),
});
type ProjectFile = v.InferOutput<typeof projectFile>;
const project = v.object({ name: v.string(), files: v.array(projectFile) });
type Project = v.InferOutput<typeof project>;

/** Projects, each with its versions, or with none for all. */
export type Projects = ReadonlyMap<string, ReadonlySet<string>>;

/** As PEP 503 writes names. */
const normal = (name: string): string => name.toLowerCase().replace(/[-_.]+/g, "-");

/** `name` or `name==version`; lines of a requirements file that say no more than that. */
export function projectsOf(specs: readonly string[]): Projects {
  const projects = new Map<string, Set<string>>();
  for (const spec of specs) {
    const [, name = "", version] =
      /^([A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?(?:==([\w.!+-]+))?$/.exec(spec.trim()) ?? [];
    if (name === "")
      throw new SourceError(
        `${JSON.stringify(spec)} is no project; expected NAME or NAME==VERSION`,
      );
    const versions = projects.get(normal(name));
    const isAll = version === undefined || versions?.size === 0;
    projects.set(normal(name), isAll ? new Set() : new Set([...(versions ?? []), version]));
  }
  return projects;
}

/** Some projects of a Python package index: pages below `simple/`, files below `files/`. */
export class PypiSource implements Source {
  readonly #reach: Reach;
  readonly #url: string;
  readonly #projects: Projects;

  /** `url` is that of the simple API, as pip's `--index-url` has it. */
  constructor(reach: Reach, projects: Projects) {
    this.#reach = reach;
    this.#url = reach.url.replace(/\/+$/, "");
    this.#projects = projects;
  }

  async bring(work: string, progress: Progress): Promise<string> {
    if (this.#projects.size === 0)
      throw new SourceError("name projects: --package NAME[==VERSION] …");
    const web = new Web(this.#reach, progress);
    try {
      const staging = await Staging.open(work);
      await parallel(this.#projects, atOnceMax, async ([name, versions]) => {
        const all = await this.#project(web, name);
        if (all === undefined) throw new SourceError(`${this.#url} has no project ${name}`);
        const files = all.files.filter((file) => isOf(file, name, versions));
        for (const file of files) await bringFile({ web, staging }, name, file);
        await writePages(staging, { name, files });
      });
      return await staging.finish();
    } finally {
      await web.close();
    }
  }

  /** What the index says of a project, from JSON or, of older servers, from HTML. */
  async #project(web: Web, name: string): Promise<Project | undefined> {
    const url = `${this.#url}/${name}/`;
    const accept = `${json}, text/html;q=0.1`;
    const found = await web.document(url, pageBytesMax, { accept });
    if (found === undefined) return undefined;
    const text = found.bytes.toString();
    if (found.type !== json) return { name, files: filesIn(text, url) };
    const read = readProject(text, url);
    const files = read.files.map((file) => ({ ...file, url: new URL(file.url, url).href }));
    return { name, files };
  }

  async witness(claims: readonly Claim[], seen: Seen): Promise<readonly Doubt[]> {
    const web = new Web(this.#reach);
    const doubts: Doubt[] = [];
    const known = remembered((name) => this.#project(web, name));
    try {
      await parallel(claims, atOnceMax, async (claim) => {
        const [, kind, name = "", file = ""] =
          /^(simple|files)\/([a-z0-9-]+)\/([^/]+)$/.exec(claim.path) ?? [];
        if (kind === undefined || claim.leaf.kind !== "file" || claim.leaf.executable)
          return void doubts.push(foreign(claim.path));
        const upstream = await known(name);
        if (upstream === undefined) return void doubts.push(missing(claim.path));
        if (kind === "files")
          return void doubts.push(...(await web.witness([claim], () => addressOf(upstream, file))));
        doubts.push(...(await witnessPage({ name, file, path: claim.path }, upstream, seen)));
      });
      return doubts;
    } finally {
      await web.close();
    }
  }
}

/** A page says nothing but what the index says of the files that it lists. */
async function witnessPage(
  { name, file, path }: { readonly name: string; readonly file: string; readonly path: string },
  upstream: Project,
  seen: Seen,
): Promise<readonly Doubt[]> {
  const text = Buffer.from(await seen.bytes(path)).toString();
  const listed = new Set(
    file === "index.json"
      ? readProject(text, path).files.map(({ filename }) => filename)
      : linksOf(text, "http://here/").map((link) =>
          decodeURIComponent(link.replace(/#.*/, "").replace(/^.*\//, "")),
        ),
  );
  const files = upstream.files.filter(({ filename }) => listed.has(filename));
  const should = file === "index.json" ? jsonPage({ name, files }) : htmlPage({ name, files });
  const isPage = file === "index.json" || file === "index.html";
  return isPage && isDeepStrictEqual(text, should) ? [] : [differs(path)];
}

async function bringFile(
  { web, staging }: { web: Web; staging: Staging },
  name: string,
  file: ProjectFile,
): Promise<void> {
  const one = async (url: string, path: string, sha256: string | undefined): Promise<void> => {
    const expected = sha256 === undefined ? {} : { sha256 };
    if (!(await web.keep(url, { staging, path }, expected)))
      throw new SourceError(`${url} is named by the index, and is not there`);
  };
  const path = `files/${name}/${file.filename}`;
  await one(file.url, path, file.hashes["sha256"]);
  const metadata = file["core-metadata"];
  if (metadata === undefined || metadata === false) return;
  const sha256 = metadata === true ? undefined : metadata["sha256"];
  await one(`${withoutHash(file.url)}.metadata`, `${path}.metadata`, sha256);
}

async function writePages(staging: Staging, project: Project): Promise<void> {
  for (const [file, page] of [
    ["index.json", jsonPage(project)],
    ["index.html", htmlPage(project)],
  ] as const) {
    await staging.placeText(`simple/${project.name}/${file}`, page);
  }
}

const withoutHash = (url: string): string => url.replace(/#.*/, "");

function addressOf({ files }: Project, name: string): string | undefined {
  const file = files.find(({ filename }) => name === filename || name === `${filename}.metadata`);
  if (file === undefined) return undefined;
  return name === file.filename ? file.url : `${withoutHash(file.url)}.metadata`;
}

function isOf({ filename }: ProjectFile, name: string, versions: ReadonlySet<string>): boolean {
  return versions.size === 0 || versions.has(versionOf(filename, name));
}

/** The version in a file's name: after the project's name, up to the tags of a wheel. */
function versionOf(filename: string, name: string): string {
  const stem = filename.replace(/\.(tar\.(gz|bz2)|zip|whl)$/, "");
  const rest = stem.replace(new RegExp(`^${name.replaceAll("-", "[-_.]+")}-`, "i"), "");
  return filename.endsWith(".whl") ? (rest.split("-", 1)[0] ?? "") : rest;
}

/** The page without its hosts: links lead to this tree, whatever server it is on. */
function here(name: string, { filename }: ProjectFile): string {
  return `../../files/${name}/${encodeURIComponent(filename)}`;
}

/** Equal for everybody who saw the same: fields in a fixed order, files by name, nothing of the moment. */
function jsonPage({ name, files }: Project): string {
  const sorted = [...files].sort((a, b) => (a.filename < b.filename ? -1 : 1));
  const listed = sorted.map((file) => ({
    filename: file.filename,
    url: here(name, file),
    hashes: Object.fromEntries(Object.entries(file.hashes).sort()),
    ...(file["requires-python"] ? { "requires-python": file["requires-python"] } : {}),
    ...(file.yanked ? { yanked: file.yanked } : {}),
    ...(file["core-metadata"] ? { "core-metadata": file["core-metadata"] } : {}),
  }));
  return `${JSON.stringify({ meta: { "api-version": "1.0" }, name, files: listed }, null, 1)}\n`;
}

function htmlPage({ name, files }: Project): string {
  const sorted = [...files].sort((a, b) => (a.filename < b.filename ? -1 : 1));
  const rows = sorted.map((file) => {
    const { sha256 } = file.hashes;
    const link = `${here(name, file)}${sha256 === undefined ? "" : `#sha256=${sha256}`}`;
    const about = [
      ...(file["requires-python"]
        ? [`data-requires-python="${escaped(file["requires-python"])}"`]
        : []),
      ...(file.yanked ? [`data-yanked="${escaped(file.yanked === true ? "" : file.yanked)}"`] : []),
      ...(file["core-metadata"] ? [`data-core-metadata="true"`] : []),
    ];
    return `<a href="${escaped(link)}"${about.map((one) => ` ${one}`).join("")}>${escaped(file.filename)}</a><br>`;
  });
  return `<!DOCTYPE html>\n<title>${escaped(name)}</title>\n${rows.join("\n")}\n`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** Of a page without JSON: names and hashes. */
function filesIn(html: string, page: string): ProjectFile[] {
  const files: ProjectFile[] = [];
  for (const link of linksOf(html, page)) {
    const { pathname, hash } = new URL(link);
    const filename = decodeURIComponent(pathname.replace(/^.*\//, ""));
    const [, algorithm, value] = /^#(\w+)=([0-9a-f]+)$/.exec(hash) ?? [];
    if (!/^[\w.+!-]+\.(whl|tar\.gz|zip|tar\.bz2)$/.test(filename)) continue;
    const known = algorithm === undefined || value === undefined ? {} : { [algorithm]: value };
    files.push({ filename, url: withoutHash(link), hashes: known });
  }
  return files;
}

function readProject(text: string, what: string): Project {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SourceError(`${what} is not JSON`);
  }
  const parsed = v.safeParse(project, value);
  if (!parsed.success)
    throw new SourceError(`${what} is no project of a package index: ${parsed.issues[0].message}`);
  return parsed.output;
}
