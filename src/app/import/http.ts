import { Parser } from "htmlparser2";
import { limits } from "../../core/base/index.ts";
import { nameFault, parsePath } from "../../core/mirror/index.ts";
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
import { addressBelow, atOnceMax, Web } from "./web.ts";

const pageBytesMax = 64 * 1024 * 1024;

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

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** Path elements of an address, as they are whatever way they were escaped; `undefined` where they are no text. */
const namesOf = (url: string): (string | undefined)[] =>
  new URL(url).pathname.split("/").map(decoded);

/** What a link on a page names directly below it: a name, with `/` after it for a directory, or why it can be none. */
type Linked = { readonly name: string } | { readonly text: string; readonly fault: string };

function below(page: string, link: string): Linked | undefined {
  const above = namesOf(page).slice(0, -1);
  const names = namesOf(link);
  const { origin, search, hash, pathname } = new URL(link);
  const isBelow = origin === new URL(page).origin && above.every((name, i) => names[i] === name);
  if (!isBelow || search !== "" || hash !== "") return undefined;
  const rest = names.slice(above.length);
  const isDirectory = rest.length === 2 && rest[1] === "";
  if (rest[0] === "" || (rest.length !== 1 && !isDirectory)) return undefined;
  const text = pathname.split("/")[above.length] ?? "";
  const [name] = rest;
  if (name === undefined) return { text, fault: "the name is not UTF-8" };
  const fault = nameFault(name);
  if (fault !== undefined) return { text, fault };
  return { name: isDirectory ? `${name}/` : name };
}

/** A name that can be in a tree, or none: what cannot is not gone into, as a listing may lead into itself for ever. */
function nameIn(path: string, linked: Linked, { onOmitted }: Progress): string | undefined {
  if (!("name" in linked)) {
    onOmitted?.(`${path}/${linked.text}`, linked.fault);
    return undefined;
  }
  const full = `${path === "" ? "" : `${path}/`}${linked.name.replace(/\/$/, "")}`;
  if (parsePath(full).ok) return linked.name;
  onOmitted?.(`${full.slice(0, 200)}…`, "the path is too long, or too deep");
  return undefined;
}

/** A web server's directories, as its listings show them. */
export class HttpSource implements Source {
  readonly #reach: Reach;
  readonly #url: string;

  constructor(reach: Reach) {
    this.#reach = reach;
    this.#url = `${reach.url.replace(/\/+$/, "")}/`;
  }

  async bring(work: string, progress: Progress): Promise<string> {
    const web = new Web(this.#reach, progress);
    try {
      const staging = await Staging.open(work);
      const files = await this.#list(web, progress);
      await parallel(files, atOnceMax, async (path) => {
        if (!(await web.keep(addressBelow(this.#url, path), { staging, path })))
          progress.onOmitted?.(path, "it is listed, and not there");
      });
      return await staging.finish();
    } finally {
      await web.close();
    }
  }

  async #list(web: Web, progress: Progress): Promise<Set<string>> {
    const files = new Set<string>();
    const left = [""];
    for (let i = 0, path = left[0]; path !== undefined; i++, path = left[i]) {
      if (i > limits.changesMax || files.size > limits.changesMax)
        throw new SourceError(`${this.#url} has more than ${limits.changesMax} paths`);
      const prefix = path === "" ? "" : `${path}/`;
      for (const name of await this.#listing(web, path, progress)) {
        const full = prefix + name.replace(/\/$/, "");
        if (name.endsWith("/")) left.push(full);
        else files.add(full);
      }
    }
    return files;
  }

  /** What a directory has. One that is listed and cannot be read is no empty one: what is in it would be deleted. */
  async #listing(web: Web, path: string, progress: Progress): Promise<ReadonlySet<string>> {
    const page = `${addressBelow(this.#url, path).replace(/\/+$/, "")}/`;
    const found = await web.document(page, pageBytesMax);
    if (found === undefined && path === "") throw new SourceError(`${page}: nothing is there`);
    if (found === undefined)
      throw new SourceError(
        `${page} is listed, and not there; the source may be changing just now`,
      );
    if (found.type !== "text/html") throw new SourceError(`${page} is no listing of files`);
    const names = new Set<string>();
    for (const link of linksOf(found.bytes.toString(), page)) {
      const linked = below(page, link);
      const name = linked && nameIn(path, linked, progress);
      if (name !== undefined) names.add(name);
    }
    const twice = [...names].find((name) => names.has(`${name}/`));
    if (twice !== undefined)
      throw new SourceError(`${page} lists ${twice} as a file and as a directory`);
    return names;
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
