import { type Digest, fromHex, limits, utf8 } from "../base/index.ts";
import {
  digest,
  encode,
  fields,
  natural,
  require,
  type Shape,
  text,
  type Value,
} from "../codec/index.ts";
import { taggedDigest } from "../crypto/index.ts";
import { nameFault } from "./path.ts";

/** What stands at a path: a regular file or a symbolic link. Directories exist through what is in them. */
export type Leaf =
  | {
      readonly kind: "file";
      readonly digest: Digest;
      /** Bytes. */
      readonly size: number;
      readonly executable: boolean;
      /**
       * Of files of more than one chunk: chunksDigest of the SHA-256 of each chunk of `blobChunkBytes`, so that
       * a part can be checked before the whole is there. Its publisher's word: `digest` decides what the file is.
       */
      readonly chunks?: Digest | undefined;
    }
  | { readonly kind: "link"; readonly target: string };

/** An entry of a directory. `root` is the node of the subdirectory, `count` its direct entries. */
export type Entry =
  | Leaf
  | { readonly kind: "directory"; readonly root: Digest; readonly count: number };

/** What stands in a directory, and its name there. */
export interface NamedEntry {
  readonly name: string;
  readonly entry: Entry;
}

export function leafValue(leaf: Leaf): Value {
  if (leaf.kind === "link") return [1, leaf.target];
  const { digest: content, size, executable, chunks } = leaf;
  const whole = [0, fromHex(content), size, executable];
  return chunks === undefined ? whole : [...whole, fromHex(chunks)];
}

/** Stands for the digests (32 bytes each) of a file's chunks. */
export function chunksDigest(sums: Uint8Array): Digest {
  return taggedDigest("chunks", sums);
}

function linkTarget(value: Value | undefined, what: string): string {
  const target = text(limits.symlinkBytesMax)(value, what);
  require(target.length > 0 &&
    !target.includes("\0") &&
    utf8(target).length <= limits.symlinkBytesMax, `${what} is a link target`);
  return target;
}

export const leafShape: Shape<Leaf> = (value, what) => {
  require(Array.isArray(value), `${what} is a list`);
  if (value[0] === 1)
    return { kind: "link", target: linkTarget(fields(2)(value, what)[1], `${what}.target`) };
  const hasChunks = value.length === 5;
  const [kind, hash, size, executable, chunks] = fields(hasChunks ? 5 : 4)(value, what);
  require(kind === 0 && typeof executable === "boolean", `${what} is a file`);
  const whole: Leaf = {
    kind: "file",
    digest: digest(hash, `${what}.digest`),
    size: natural(limits.blobBytesMax)(size, `${what}.size`),
    executable,
  };
  if (!hasChunks) return whole;
  require(whole.size > limits.blobChunkBytes, `${what} has more than one chunk`);
  return { ...whole, chunks: digest(chunks, `${what}.chunks`) };
};

export function entryValue({ name, entry }: NamedEntry): Value {
  return [
    name,
    entry.kind === "directory" ? [2, fromHex(entry.root), entry.count] : leafValue(entry),
  ];
}

export const entryShape: Shape<NamedEntry> = (value, what) => {
  const [name, body] = fields(2)(value, what);
  const known = text(limits.nameBytesMax)(name, `${what}.name`);
  require(nameFault(known) === undefined, `${what}.name is a name`);
  if (!Array.isArray(body) || body[0] !== 2) return { name: known, entry: leafShape(body, what) };
  const [, root, count] = fields(3)(body, what);
  const entry: Entry = {
    kind: "directory",
    root: digest(root, `${what}.root`),
    count: natural()(count, `${what}.count`),
  };
  return { name: known, entry };
};

/** Stands for the content of a path in a change's expectation: equal fingerprints, equal leaves. */
export function fingerprint(leaf: Leaf): Digest {
  return taggedDigest("leaf", encode(leafValue(leaf)));
}

/** True for the same file or link. */
export function sameLeaf(a: Leaf, b: Leaf): boolean {
  if (a.kind === "file" && b.kind === "file") {
    return a.digest === b.digest && a.size === b.size && a.executable === b.executable;
  }
  return a.kind === "link" && b.kind === "link" && a.target === b.target;
}
