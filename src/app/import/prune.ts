import { rm } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { fdir } from "fdir";

/** Removes from a staging directory what the source has no more. */
export async function prune(directory: string, kept: ReadonlySet<string>): Promise<void> {
  const files = await new fdir({ includeBasePath: true, excludeSymlinks: false })
    .crawl(directory)
    .withPromise();
  for (const file of files) {
    const path = relative(directory, file).split(sep).join("/");
    if (!kept.has(path)) await rm(join(directory, path), { force: true });
  }
}
