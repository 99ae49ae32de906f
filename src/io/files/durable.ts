import { constants } from "node:fs";
import { mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { FileSystem } from "../ports/index.ts";
import { NodeFile } from "./node-file.ts";

/** Makes the names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a file durably: temporary file, fsync, rename, fsync of the directory. */
export async function replaceFile(
  path: string,
  content: Uint8Array | string,
  mode = 0o600,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const handle = await open(temporary, flags, mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** The machine's own file system: files 0600, directories 0700, symbolic links not followed. */
export const nodeFiles: FileSystem = {
  open: async (path, flags) => new NodeFile(await open(path, flags | constants.O_NOFOLLOW, 0o600)),
  mkdir: async (path) => void (await mkdir(path, { recursive: true, mode: 0o700 })),
  readdir: (path) => readdir(path),
  unlink: (path) => unlink(path),
  syncDirectory,
};
