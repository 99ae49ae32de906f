import { isAbsolute } from "node:path";
import { type AptOptions, AptSource } from "./apt.ts";
import { DirectorySource, RsyncSource } from "./files.ts";
import { GitSource } from "./git.ts";
import { HttpSource } from "./http.ts";
import { NpmSource, readLock, selectionOf } from "./npm.ts";
import { PypiSource, projectsOf } from "./pypi.ts";
import { Reach } from "./reach.ts";
import { type Source, SourceError } from "./source.ts";

/** Kinds of archives that a tree can follow. */
export const sourceKinds = ["dir", "rsync", "http", "apt", "npm", "pypi", "git"] as const;
export type SourceKind = (typeof sourceKinds)[number];

/** An archive elsewhere: its kind, where it is, and what of it is wanted. */
export interface SourceSpec {
  readonly kind: SourceKind;
  /** An address; for `dir` an absolute path. */
  readonly url: string;
  /** Other places within this network that it may lead to. */
  readonly also?: readonly string[] | undefined;
}

/** What of the archive is wanted; whoever only checks what others brought needs none of it. */
export interface SourceOptions extends Partial<AptOptions> {
  /** npm and pypi: names, each with a version or without. */
  readonly packages?: readonly string[];
  /** npm: a package-lock.json, for all that it installs. */
  readonly lock?: string;
}

/** The kind of that name. Throws {@link SourceError}. */
export function kindOf(text: string): SourceKind {
  const kind = sourceKinds.find((one) => one === text);
  if (kind === undefined)
    throw new SourceError(`there is no kind of source ${text}; expected ${sourceKinds.join(", ")}`);
  return kind;
}

/** Throws {@link SourceError} for addresses that the kind cannot have. */
export async function openSource(
  { kind, url, also }: SourceSpec,
  options: SourceOptions = {},
): Promise<Source> {
  if (also !== undefined && also.length > 0 && ["dir", "rsync", "git"].includes(kind))
    throw new SourceError(`a source of kind ${kind} leads nowhere else: leave out --also, or also`);
  const { suites = [], components = [], architectures = [], packages = [], lock } = options;
  switch (kind) {
    case "dir":
      if (!isAbsolute(url)) throw new SourceError(`${url} is not an absolute path`);
      return new DirectorySource(url);
    case "rsync":
      return new RsyncSource(url);
    case "git":
      return new GitSource(url);
    case "http":
      return new HttpSource(web(url, also));
    case "apt":
      return new AptSource(web(url, also), { ...options, suites, components, architectures });
    case "npm":
      return new NpmSource(
        web(url, also),
        new Map([...selectionOf(packages), ...(lock === undefined ? [] : await readLock(lock))]),
      );
    case "pypi":
      return new PypiSource(web(url, also), projectsOf(packages));
  }
}

function web(url: string, also: readonly string[] = []): Reach {
  for (const one of [url, ...also])
    if (!/^https?:$/.test(URL.canParse(one) ? new URL(one).protocol : ""))
      throw new SourceError(`${one} is no web address`);
  return new Reach(url, also);
}
