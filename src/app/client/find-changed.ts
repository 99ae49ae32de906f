import { lstat } from "node:fs/promises";
import { hashFile } from "./hash-file.ts";
import { changedWhile, type LocalTreeError } from "./local-error.ts";
import type { LocalLeaf } from "./local-tree.ts";

/**
 * A file that is not what it was when the directory was read, if any. Asked once nobody took an update: what a writer says
 * of content that it was not sent is no reason to blame it.
 */
export async function findChanged(files: Iterable<LocalLeaf>): Promise<LocalTreeError | undefined> {
  for (const { leaf, file } of files) {
    if (leaf.kind !== "file") continue;
    const found = await lstat(file).catch(() => undefined);
    if (found?.isFile() !== true || found.size !== leaf.size) return changedWhile(file);
    // What nobody touched since this program began is what it read.
    const isOld = Math.max(found.mtimeMs, found.ctimeMs) < performance.timeOrigin;
    if (!isOld && (await hashFile(file)).digest !== leaf.digest) return changedWhile(file);
  }
  return undefined;
}
