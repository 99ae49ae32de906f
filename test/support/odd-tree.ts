import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Prng } from "../../src/core/base/index.ts";

/** What stands at a path. */
export type Thing =
  | { readonly kind: "file"; readonly bytes: string; readonly executable: boolean }
  | { readonly kind: "link"; readonly target: string };

/** A file system, the dumb way: things by path, and nothing of a kind above another one. */
export type OddTree = Map<string, Thing>;

const names = [
  "a",
  "b",
  "c",
  "__init__.py",
  "x",
  "x.part",
  ".hidden",
  "sp ace",
  "a+b&c;d",
  "100%25.txt",
  "what?#[x]",
  "..dots",
  "ünï漢🎈",
  "back\\slash",
  "quo'te\"s",
  "n".repeat(255),
  "-dash",
  "\u202etxt",
] as const;

/** Draws trees of every odd kind: equal subtrees, empty files, links of every sort, deep, wide, names of all sorts. */
export class OddTrees {
  readonly #random: Prng;

  constructor(random: Prng) {
    this.#random = random;
  }

  #of<T>(items: readonly T[]): T {
    const item = items[this.#random.below(items.length)];
    if (item === undefined) throw new Error("nothing to choose from");
    return item;
  }

  #thing(): Thing {
    if (this.#random.chance(0.15))
      return {
        kind: "link",
        target: this.#of(["a", "../b", "/etc/passwd", "nowhere/at all", "."]),
      };
    const sizes = [0, 0, 1, 7, 1000, 140_000];
    const bytes = this.#of(["s", "t"]).repeat(this.#of(sizes));
    return { kind: "file", bytes, executable: this.#random.chance(0.2) };
  }

  #path(): string {
    const depth = this.#random.chance(0.1) ? 12 : 1 + this.#random.below(4);
    // A path of names of 255 bytes must not be longer than a path may be.
    return Array.from({ length: depth }, () => this.#of(names)).join("/");
  }

  /** The tree after some changes; changes of kind among them. */
  next(before: OddTree): OddTree {
    const tree = new Map(before);
    for (let i = 3 + this.#random.below(12); i > 0; i--) this.#change(tree);
    return tree;
  }

  #change(tree: OddTree): void {
    const what = this.#random.below(10);
    const some = [...tree.keys()];
    if (what < 3 && some.length > 0) return remove(tree, this.#of(some));
    if (what < 5 && some.length > 0) return this.#copy(tree, this.#of(some));
    if (what === 5 && some.length > 0) {
      // Where a directory was, something else is now.
      const above = dirname(this.#of(some));
      if (above !== ".") return put(tree, above, this.#thing());
    }
    put(tree, this.#path(), this.#thing());
  }

  /** A subtree once more, somewhere else. */
  #copy(tree: OddTree, path: string): void {
    const from = this.#random.chance(0.7) ? dirname(path) : path;
    const to = `${this.#of(names)}/${this.#of(names)}`;
    const moved = [...tree].filter(([one]) => one === from || one.startsWith(`${from}/`));
    if (from === "." || to.startsWith(`${from}/`) || from === to) return;
    for (const [one, thing] of moved) put(tree, to + one.slice(from.length), thing);
  }
}

function remove(tree: OddTree, path: string): void {
  for (const one of [...tree.keys()])
    if (one === path || one.startsWith(`${path}/`)) tree.delete(one);
}

/** What is in the way goes. */
function put(tree: OddTree, path: string, thing: Thing): void {
  if (Buffer.byteLength(path) > 3500) return;
  remove(tree, path);
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
    tree.delete(path.slice(0, at));
  tree.set(path, thing);
}

/** Makes a directory what a tree is. */
export async function writeTree(directory: string, tree: OddTree): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const [path, thing] of tree) {
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true });
    if (thing.kind === "link") await symlink(thing.target, file);
    else {
      await writeFile(file, thing.bytes);
      await chmod(file, thing.executable ? 0o755 : 0o644);
    }
  }
}

export async function readTree(directory: string, below = ""): Promise<OddTree> {
  const tree: OddTree = new Map();
  for (const name of (await readdir(join(directory, below))).sort()) {
    const path = below === "" ? name : `${below}/${name}`;
    const file = join(directory, path);
    const found = await lstat(file);
    if (found.isDirectory())
      for (const [deeper, thing] of await readTree(directory, path)) tree.set(deeper, thing);
    else if (found.isSymbolicLink()) tree.set(path, { kind: "link", target: await readlink(file) });
    else
      tree.set(path, {
        kind: "file",
        bytes: (await readFile(file)).toString(),
        executable: (found.mode & 0o111) !== 0,
      });
  }
  return tree;
}
