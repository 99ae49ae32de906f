import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Parser } from "htmlparser2";
import { parsePath } from "../../core/mirror/index.ts";
import { prune } from "./prune.ts";
import {
  type Claim,
  type Doubt,
  type Progress,
  parallel,
  type Source,
  SourceError,
} from "./source.ts";
import { atOnceMax, below, Web } from "./web.ts";

const pageBytesMax = 64 * 1024 * 1024;
const directoriesMax = 1_000_000;

/** Addresses that a page links to, absolute. */
export function linksOf(html: string, page: string): string[] {
  const links: string[] = [];
  const parser = new Parser({
    onopentag: (name, { href }) => {
      if (name === "a" && href !== undefined && URL.canParse(href, page))
        links.push(new URL(href, page).href);
    },
  });
  parser.end(html);
  return links;
}

/** The names of a path's elements as they are, whatever way they were escaped. */
function namesOf(url: string): readonly string[] | undefined {
  try {
    return new URL(url).pathname.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** What `link` names directly below `page`: `name`, or `name/` for a directory. */
function nameBelow(page: string, link: string): string | undefined {
  const above = namesOf(page)?.slice(0, -1) ?? [];
  const names = namesOf(link) ?? [];
  const { origin, search, hash } = new URL(link);
  const isBelow = origin === new URL(page).origin && above.every((name, i) => names[i] === name);
  if (!isBelow || search !== "" || hash !== "") return undefined;
  const [name = "", ...deeper] = names.slice(above.length);
  if (!parsePath(name).ok || name.includes("/") || deeper.join("/") !== "") return undefined;
  return deeper.length === 0 ? name : `${name}/`;
}

/** A web server's directories, as its listings show them. */
export class HttpSource implements Source {
  readonly #url: string;

  constructor(url: string) {
    this.#url = `${url.replace(/\/+$/, "")}/`;
  }

  async bring(staging: string, progress: Progress): Promise<string> {
    const web = new Web(progress);
    try {
      await mkdir(staging, { recursive: true });
      const files = await this.#list(web);
      await parallel(files, atOnceMax, async (path) => {
        if (!(await web.keep(below(this.#url, path), join(staging, path)))) files.delete(path);
      });
      await prune(staging, files);
      return staging;
    } finally {
      await web.close();
    }
  }

  async #list(web: Web): Promise<Set<string>> {
    const files = new Set<string>();
    const left = [""];
    for (let i = 0, path = left[0]; path !== undefined; i++, path = left[i]) {
      if (i > directoriesMax)
        throw new SourceError(`${this.#url} has more than ${directoriesMax} directories`);
      for (const name of await this.#listing(web, path)) {
        const full = `${path === "" ? "" : `${path}/`}${name}`;
        if (full.endsWith("/")) left.push(full.slice(0, -1));
        else files.add(full);
      }
    }
    return files;
  }

  /** What a directory has; nothing where one has vanished since its parent was read. */
  async #listing(web: Web, path: string): Promise<ReadonlySet<string>> {
    const page = `${below(this.#url, path).replace(/\/+$/, "")}/`;
    const found = await web.document(page, pageBytesMax);
    if (found === undefined && path === "") throw new SourceError(`${page}: nothing is there`);
    if (found === undefined) return new Set();
    if (found.type !== "text/html") throw new SourceError(`${page} is no listing of files`);
    const links = linksOf(found.bytes.toString(), page);
    return new Set(links.flatMap((link) => nameBelow(page, link) ?? []));
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
