import { assert, type Digest } from "../../core/base/index.ts";
import { applyChanges, type Change, DirectoryStore, type Leaf } from "../../core/mirror/index.ts";

/** The root of the tree that local leaves make; its nodes go into `nodes`. */
export function rootOfLeaves(
  leaves: ReadonlyMap<string, { readonly leaf: Leaf }>,
  nodes = new Map<Digest, Uint8Array>(),
): Digest | undefined {
  const store = new DirectoryStore(
    (root) => nodes.get(root),
    (root, node) => nodes.set(root, node),
  );
  const changes: Change[] = [];
  for (const [path, { leaf }] of leaves) changes.push({ path, leaf, expect: "anything" });
  const made = applyChanges(store, undefined, changes);
  assert(made.kind === "applied", "a directory's paths do not collide");
  return made.root;
}
