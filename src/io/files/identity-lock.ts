import { unlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PublicKey } from "../../core/base/index.ts";
import { StorageError } from "../ports/index.ts";

/**
 * Keeps a second process from starting with the same identity: whoever listens on the identity's socket has it,
 * and the kernel frees it when the process ends, however it ends. Linux has names without files for this.
 */
export async function lockIdentity(key: PublicKey): Promise<{ release(): Promise<void> }> {
  const isLinux = process.platform === "linux";
  const path = isLinux ? `\0smalti-${key}` : join(tmpdir(), `smalti-${key.slice(0, 32)}.sock`);
  const server = createServer((socket) => socket.destroy());
  if (!(await listens(server, path))) {
    if (isLinux || (await answers(path))) throw taken(key);
    await unlink(path);
    if (!(await listens(server, path))) throw taken(key);
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function taken(key: PublicKey): StorageError {
  return new StorageError(
    "IDENTITY_IN_USE",
    `another process runs with the identity ${key.slice(0, 16)}…; two hosts with one key would contradict one another. Stop it first`,
  );
}

function listens(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    };
    server.once("error", onError);
    server.listen(path, () => {
      server.removeListener("error", onError);
      resolve(true);
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
