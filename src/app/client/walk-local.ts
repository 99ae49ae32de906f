import { isUtf8 } from "node:buffer";
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { localFault } from "./local-error.ts";

/** What stands below a directory; paths have `/` between names. */
export interface Walked {
  /** All that is no directory, of whatever kind. */
  readonly paths: string[];
  readonly emptyDirectories: string[];
  /** Names that are not UTF-8, as far as they can be shown. */
  readonly unreadable: string[];
}

/**
 * Walks a directory without following links. Names are read as bytes: what is not UTF-8 would else become a name that is
 * not there. Throws what {@link localFault} makes of the system's errors.
 */
export async function walkLocal(root: string): Promise<Walked> {
  const walked: Walked = { paths: [], emptyDirectories: [], unreadable: [] };
  const left = [""];
  for (let prefix = left.pop(); prefix !== undefined; prefix = left.pop()) {
    const entries = await entriesOf(join(root, prefix));
    if (entries.length === 0 && prefix !== "") walked.emptyDirectories.push(prefix.slice(0, -1));
    for (const entry of entries) left.push(...directoriesIn(walked, prefix, entry));
  }
  return walked;
}

/** Notes an entry; what is below a directory comes later. */
function directoriesIn(walked: Walked, prefix: string, entry: Dirent<Buffer>): readonly string[] {
  const path = `${prefix}${entry.name.toString()}`;
  if (!isUtf8(entry.name)) walked.unreadable.push(path);
  else if (entry.isDirectory()) return [`${path}/`];
  else walked.paths.push(path);
  return [];
}

function entriesOf(directory: string): Promise<Dirent<Buffer>[]> {
  return readdir(directory, { withFileTypes: true, encoding: "buffer" }).catch((error: unknown) => {
    throw localFault(directory, error);
  });
}
