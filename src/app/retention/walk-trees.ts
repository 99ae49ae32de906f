import type { Digest } from "../../core/base/index.ts";
import {
  type DirectoryNode,
  type NodeReader,
  nodeDigest,
  readNode,
} from "../../core/mirror/index.ts";

/** What a walk comes by: a file's content, or a directory that cannot be read. */
export type Met =
  | { readonly kind: "file"; readonly digest: Digest; readonly size: number }
  | { readonly kind: "directory" }
  | { readonly kind: "damaged"; readonly root: Digest };

/** All that stands below a directory, but for directories in `seen`, which it adds to. */
export function* walkTrees(
  nodes: NodeReader,
  root: Digest | undefined,
  seen: Set<Digest>,
): Generator<Met> {
  const todo = root === undefined ? [] : [root];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const bytes = nodes(next);
    const node = bytes !== undefined && nodeDigest(bytes) === next ? readNode(bytes) : undefined;
    if (node?.ok !== true) yield { kind: "damaged", root: next };
    else {
      yield { kind: "directory" };
      yield* filesOf(node.value);
      todo.push(...directoriesOf(node.value));
    }
  }
}

function directoriesOf(node: DirectoryNode): Digest[] {
  if (node.kind === "inner") return node.children.flatMap((child) => child?.root ?? []);
  return node.entries.flatMap(({ entry }) => (entry.kind === "directory" ? [entry.root] : []));
}

function* filesOf(node: DirectoryNode): Generator<Met> {
  for (const { entry } of node.kind === "inner" ? [] : node.entries)
    if (entry.kind === "file") yield { kind: "file", digest: entry.digest, size: entry.size };
}
