import { fdatasyncSync, writevSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { OpenFile } from "../ports/index.ts";

/** Up to here bytes are written on the spot: the way to the thread pool and back costs more than they do. */
const spotBytesMax = 64 * 1024;
/** A disk whose syncs take longer than this on the average, milliseconds, is waited for in the thread pool. */
const spotSyncMs = 4;
/** Weight of the newest sync in that average. */
const newest = 1 / 8;
/** A slow disk is tried on the spot again after so many syncs. */
const retryAfter = 1024;

/**
 * A file of log or guard. A few records and their sync are done on the spot, as long as the disk is quick about it:
 * on a host that waits for each of its syncs anyhow, two trips to the thread pool cost more than the disk does.
 * Large writes and slow disks go to the pool, so that the host can listen meanwhile.
 */
export class NodeFile implements OpenFile {
  readonly #handle: FileHandle;
  #unsynced = 0;
  #usualMs = 0;
  #pooled = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  // biome-ignore lint/complexity/useMaxParams: the port's own signature
  read(
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }> {
    return this.#handle.read(into, offset, length, position);
  }

  // biome-ignore lint/complexity/useMaxParams: the port's own signature
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }> {
    return this.writev([bytes.subarray(offset, offset + length)], position);
  }

  async writev(
    parts: readonly Uint8Array[],
    position: number,
  ): Promise<{ readonly bytesWritten: number }> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.#unsynced += length;
    if (length > spotBytesMax) return this.#handle.writev([...parts], position);
    return { bytesWritten: writevSync(this.#handle.fd, parts, position) };
  }

  async datasync(): Promise<void> {
    const isSmall = this.#unsynced <= spotBytesMax;
    this.#unsynced = 0;
    if (!isSmall || !this.#isQuick) return this.#handle.datasync();
    const startedMs = performance.now();
    fdatasyncSync(this.#handle.fd);
    this.#usualMs += newest * (performance.now() - startedMs - this.#usualMs);
  }

  get #isQuick(): boolean {
    if (this.#usualMs <= spotSyncMs) return true;
    if (++this.#pooled < retryAfter) return false;
    this.#pooled = 0;
    this.#usualMs = 0;
    return true;
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length);
  }

  stat(): Promise<{ readonly size: number }> {
    return this.#handle.stat();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
