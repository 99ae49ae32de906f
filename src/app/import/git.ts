import { createHash, type Hash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createInflate } from "node:zlib";
import { run } from "./command.ts";
import {
  type Claim,
  type Doubt,
  differs,
  foreign,
  missing,
  type Progress,
  type Seen,
  type Source,
  SourceError,
} from "./source.ts";
import { prune } from "./staging.ts";

const looseBytesMax = 1024 * 1024 * 1024;
/** What the dumb HTTP protocol asks for; nothing else of a repository is published. */
const served =
  /^(HEAD|packed-refs|info\/refs|objects\/info\/packs|objects\/pack\/pack-[0-9a-f]{40,64}\.(pack|idx)|objects\/[0-9a-f]{2}\/[0-9a-f]{38,62})$/;

/** What `git` may speak: not what runs a program of the address's choosing. */
const safe = [
  "-c",
  "protocol.ext.allow=never",
  // A repository that has moved is named anew: it might be led to within the operator's network.
  "-c",
  "http.followRedirects=false",
  "-c",
  "gc.auto=0",
  "-c",
  "transfer.fsckObjects=true",
];

/**
 * A git repository as files for the dumb HTTP protocol. How objects are packed is nobody's business: writers compare
 * references and objects, whose names are hashes of what they are.
 */
export class GitSource implements Source {
  readonly #url: string;

  constructor(url: string) {
    if (url.startsWith("-")) throw new SourceError(`${url} is no address of a repository`);
    this.#url = url;
  }

  async bring(work: string, { onFile }: Progress): Promise<string> {
    const clone = join(work, "clone");
    await this.#fetch(clone);
    const shown = join(work, "repository");
    await mkdir(shown, { recursive: true });
    const kept = new Set((await filesOf(clone)).filter((path) => served.test(path)));
    for (const path of kept) {
      // Objects never change; the few others are always taken anew.
      if (/^objects\/(pack|..)\//.test(path) && existsSync(join(shown, path))) continue;
      await mkdir(dirname(join(shown, path)), { recursive: true });
      await cp(join(clone, path), join(shown, path));
      onFile?.(path);
    }
    await prune(shown, kept);
    return shown;
  }

  /** Makes `clone` a mirror of the repository as it is now. */
  async #fetch(clone: string): Promise<void> {
    if (!existsSync(join(clone, "HEAD"))) {
      await rm(clone, { recursive: true, force: true });
      await mkdir(dirname(clone), { recursive: true });
      await run("git", [...safe, "clone", "--mirror", "--quiet", "--", this.#url, clone]);
    } else await run("git", [...safe, "fetch", "--prune", "--quiet", "origin"], { cwd: clone });
    const [, head] =
      /^ref: (refs\/\S+)\tHEAD$/m.exec(
        (await run("git", [...safe, "ls-remote", "--symref", "--", this.#url, "HEAD"])).toString(),
      ) ?? [];
    if (head !== undefined) await run("git", ["symbolic-ref", "HEAD", head], { cwd: clone });
    await run("git", ["pack-refs", "--all"], { cwd: clone });
    await run("git", ["update-server-info"], { cwd: clone });
  }

  async witness(claims: readonly Claim[], seen: Seen): Promise<readonly Doubt[]> {
    const clone = join(seen.work, createHash("sha256").update(this.#url).digest("hex"));
    await this.#fetch(clone);
    const scratch = await mkdtemp(join(seen.work, "git-"));
    try {
      const own = await ownOf(clone);
      const doubts: Doubt[] = [];
      for (const claim of claims)
        doubts.push(...(await look(claim, { seen, own, clone, scratch })));
      return doubts;
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

interface Look {
  readonly seen: Seen;
  readonly own: Own;
  readonly clone: string;
  readonly scratch: string;
}

/** What the repository has, as this host fetched it. */
interface Own {
  readonly head: string;
  /** Name → object, with `^{}` after the name for what an annotated tag points at. */
  readonly references: ReadonlyMap<string, string>;
}

async function ownOf(clone: string): Promise<Own> {
  const format = "--format=%(objectname) %(refname) %(*objectname)";
  const listed = (await run("git", ["for-each-ref", format], { cwd: clone })).toString();
  const references = new Map<string, string>();
  for (const line of listed.split("\n")) {
    const [id = "", name = "", peeled = ""] = line.split(" ");
    if (name !== "") references.set(name, id);
    if (peeled !== "") references.set(`${name}^{}`, peeled);
  }
  return { head: await readFile(join(clone, "HEAD"), "utf8"), references };
}

async function look(claim: Claim, use: Look): Promise<readonly Doubt[]> {
  const { path, leaf } = claim;
  if (leaf.kind !== "file" || !served.test(path)) return [foreign(path)];
  if (path.startsWith("objects/pack/")) return lookAtPack(claim, use);
  if (path.startsWith("objects/") && path !== "objects/info/packs") return lookAtObject(path, use);
  const text = Buffer.from(await use.seen.bytes(path)).toString();
  return isOwn(path, text, use.own) ? [] : [differs(path)];
}

function isOwn(path: string, text: string, own: Own): boolean {
  if (path === "HEAD") return text === own.head;
  if (path === "objects/info/packs") return /^(P pack-[0-9a-f]{40,64}\.pack\n)*\n?$/.test(text);
  const claimed = path === "info/refs" ? advertised(text) : packed(text);
  const { references } = own;
  return (
    claimed.size === references.size &&
    [...claimed].every(([name, id]) => references.get(name) === id)
  );
}

/** `ID⇥NAME` lines (gitrepository-layout). */
function advertised(text: string): ReadonlyMap<string, string> {
  const rows = text.split("\n").flatMap((line) => {
    const [id = "", name] = line.split("\t");
    return name === undefined ? [] : [[name, id] as const];
  });
  return new Map(rows);
}

/** `ID NAME` lines, each perhaps followed by `^ID`. */
function packed(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let last = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("#") || line === "") continue;
    if (line.startsWith("^")) {
      found.set(`${last}^{}`, line.slice(1));
      continue;
    }
    const space = line.indexOf(" ");
    last = line.slice(space + 1);
    found.set(last, line.slice(0, space));
  }
  return found;
}

/** Every object of a pack must be one that the repository has; an index must be what `git` makes of its pack. */
async function lookAtPack(
  { path }: Claim,
  { seen, clone, scratch }: Look,
): Promise<readonly Doubt[]> {
  const stem = path.replace(/\.(pack|idx)$/, "");
  const pack = join(scratch, `${basename(stem)}.pack`);
  const index = join(scratch, `${basename(stem)}.idx`);
  if (!existsSync(index)) {
    await cp(await seen.file(`${stem}.pack`), pack);
    const made = await run("git", ["index-pack", "--strict", "-o", index, pack], {
      cwd: clone,
    }).catch(() => undefined);
    if (made === undefined) return [{ path, why: "it is no pack of whole objects" }];
  }
  if (path.endsWith(".idx"))
    return (await readFile(index)).equals(await seen.bytes(path)) ? [] : [differs(path)];
  const listed = await run("git", ["show-index"], { cwd: clone, input: await readFile(index) });
  const ids = listed
    .toString()
    .split("\n")
    .flatMap((line) => line.split(" ")[1] ?? []);
  return (await hasAll(clone, ids)) ? [] : [missing(path)];
}

async function lookAtObject(path: string, { seen, clone }: Look): Promise<readonly Doubt[]> {
  const id = path.split("/").slice(1).join("");
  const hash = createHash(id.length === 40 ? "sha1" : "sha256");
  // A few bytes may stand for very many: they are never all in memory.
  const isWhole = await inflated(createReadStream(await seen.file(path)), hash).catch(() => false);
  if (!isWhole || hash.digest("hex") !== id)
    return [{ path, why: "its content is another object" }];
  return (await hasAll(clone, [id])) ? [] : [missing(path)];
}

/** False if it is longer than any object may be. Rejects for what is not deflated. */
async function inflated(compressed: Readable, hash: Hash): Promise<boolean> {
  let length = 0;
  await pipeline(compressed, createInflate(), async (pieces: AsyncIterable<Buffer>) => {
    for await (const piece of pieces) {
      length += piece.length;
      if (length > looseBytesMax) return;
      hash.update(piece);
    }
  });
  return length <= looseBytesMax;
}

async function hasAll(clone: string, ids: readonly string[]): Promise<boolean> {
  const told = await run("git", ["cat-file", "--batch-check=%(objectname)"], {
    cwd: clone,
    input: ids.map((id) => `${id}\n`).join(""),
  });
  return !/ (missing|ambiguous)$/m.test(told.toString());
}

async function filesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}
