import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { type Digest, InvariantError, limits } from "../../core/base/index.ts";
import type { SignedUpdate } from "../../core/mirror/index.ts";
import { drop } from "./exchange.ts";
import { askSums, overlapOf, type ReadLocal } from "./overlap.ts";
import { ask, askJson, bulkHeadBytes, ServerError, writeBulkHead } from "./transfer.ts";
import { twoAtOnce } from "./two-at-once.ts";

/** How far a publish is: files and bytes that the writer has, of all that it needs. */
export interface PublishProgress {
  readonly phase: "upload" | "order" | "done";
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly writer: string;
}

/** Small files that go in one request, with their heads. */
const bulkBytes = 8 * 1024 * 1024;
/** What a writer may take to make something durable, or to have it ordered, milliseconds. */
export const settleMs = 120_000;

/** Brings one signed update and its content to writers; what one has taken and another not, is sent again. */
export class Upload {
  readonly #update: SignedUpdate;
  readonly #changes: Uint8Array;
  readonly #files: ReadonlyMap<Digest, string>;
  readonly #bases: ReadonlyMap<Digest, Digest>;
  readonly #onProgress: (progress: PublishProgress) => void;
  /** Room for the next batch: new memory costs more than what is read into it. */
  readonly #rooms: Buffer[] = [];
  doneBytes = 0;

  constructor(options: {
    readonly update: SignedUpdate;
    readonly changes: Uint8Array;
    readonly files: ReadonlyMap<Digest, string>;
    readonly bases: ReadonlyMap<Digest, Digest>;
    readonly onProgress: ((progress: PublishProgress) => void) | undefined;
  }) {
    this.#update = options.update;
    this.#changes = options.changes;
    this.#files = options.files;
    this.#bases = options.bases;
    this.#onProgress = options.onProgress ?? (() => undefined);
  }

  async to(writer: string): Promise<void> {
    const base = `${writer}/.smalti/v1/updates`;
    const binary = { "content-type": "application/octet-stream" };
    const opened = await askJson<{ state: string }>(base, {
      method: "POST",
      body: this.#update.wire,
      headers: binary,
    });
    if (opened.state === "ordered") return;
    const url = `${base}/${this.#update.id}`;
    const stream = { "content-type": "application/vnd.smalti.stream" };
    if (opened.state === "needs-changes") {
      await askJson(`${url}/changes`, {
        method: "PUT",
        body: this.#changes,
        headers: stream,
        patienceMs: settleMs,
      });
    }
    await this.#sendMissing(url, writer);
    await askJson(`${url}/submit`, { method: "POST" });
    this.#onProgress({
      phase: "order",
      doneBytes: this.doneBytes,
      totalBytes: this.doneBytes,
      writer,
    });
  }

  /** Sends what the writer says it lacks; a writer that goes on lacking the same has had its chance. */
  async #sendMissing(url: string, writer: string): Promise<void> {
    let last = "";
    for (;;) {
      const { missing } = await askJson<{ missing: { digest: Digest; size: number }[] }>(
        `${url}/missing`,
      );
      if (missing.length === 0) return;
      const now = JSON.stringify(missing);
      if (now === last)
        throw new ServerError(
          writer,
          200,
          "INCOMPLETE",
          "the writer does not keep what it is sent",
        );
      last = now;
      await this.#send(url, missing, writer);
    }
  }

  async #send(
    url: string,
    missing: readonly { digest: Digest; size: number }[],
    writer: string,
  ): Promise<void> {
    const totalBytes = this.doneBytes + missing.reduce((sum, { size }) => sum + size, 0);
    const report = (bytes: number): void => {
      this.doneBytes += bytes;
      this.#onProgress({ phase: "upload", doneBytes: this.doneBytes, totalBytes, writer });
    };
    const small = missing.filter(({ size }) => size <= limits.packedBlobBytesMax);
    await twoAtOnce(batches(small), async (batch) => {
      const room = this.#rooms.pop() ?? Buffer.allocUnsafeSlow(bulkBytes);
      const body = this.#bulk(batch, room);
      const headers = { "content-type": "application/vnd.smalti.stream" };
      await askJson(`${url}/blobs`, { method: "POST", body, headers, patienceMs: settleMs });
      // Not after a failure: it may be on its way still.
      this.#rooms.push(room);
      report(batch.reduce((sum, { size }) => sum + size, 0));
    });
    const large = missing.filter(({ size }) => size > limits.packedBlobBytesMax);
    await twoAtOnce(large, (blob) => this.#sendLarge(url, blob, report));
  }

  #file(digest: Digest): string {
    const file = this.#files.get(digest);
    if (file === undefined) throw new InvariantError(`no local file has the content ${digest}`);
    return file;
  }

  #bulk(batch: readonly { digest: Digest; size: number }[], room: Buffer): Uint8Array {
    let end = 0;
    for (const { digest, size } of batch) {
      const start = end + bulkHeadBytes;
      const length = readStart(this.#file(digest), room.subarray(start, start + size));
      writeBulkHead(room.subarray(end, start), { digest, length });
      end = start + length;
    }
    return room.subarray(0, end);
  }

  /** Goes on where an interrupted upload stopped; of a changed file only what differs is sent. */
  async #sendLarge(
    url: string,
    blob: { digest: Digest; size: number },
    report: (bytes: number) => void,
  ): Promise<void> {
    const { digest, size } = blob;
    const { offset } = await askJson<{ offset: number }>(`${url}/blobs/${digest}`);
    const base = this.#bases.get(digest);
    if (
      offset === 0 &&
      base !== undefined &&
      (await this.#sendChanged(url, { ...blob, base }, report))
    )
      return;
    const start = offset < size ? offset : 0;
    await this.#sendPart(
      `${url}/blobs/${digest}?offset=${start}`,
      digest,
      { start, end: size },
      report,
    );
  }

  /** False if nothing is shared, or if what the writer made of it was not the file. */
  async #sendChanged(
    url: string,
    { digest, size, base }: { digest: Digest; size: number; base: Digest },
    report: (bytes: number) => void,
  ): Promise<boolean> {
    const sums = await askSums(new URL(url).origin, base).catch((error: unknown) => {
      if (error instanceof ServerError) return undefined;
      throw error;
    });
    if (sums === undefined) return false;
    const handle = await open(this.#file(digest));
    const read: ReadLocal = async (start, end) => {
      const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
      return buffer;
    };
    const { prefix, suffix } = await overlapOf(sums, { size, read }).finally(() => handle.close());
    if (prefix + suffix === 0) return false;
    const part = { start: prefix, end: size - suffix };
    const query = `base=${base}&prefix=${prefix}&suffix=${suffix}`;
    try {
      await this.#sendPart(`${url}/blobs/${digest}?${query}`, digest, part, report);
      return true;
    } catch (error) {
      if (error instanceof ServerError && error.status < 500) return false;
      throw error;
    }
  }

  // biome-ignore lint/complexity/useMaxParams: where to, and which bytes of which file
  async #sendPart(
    url: string,
    digest: Digest,
    { start, end }: { readonly start: number; readonly end: number },
    report: (bytes: number) => void,
  ): Promise<void> {
    const body =
      end > start
        ? createReadStream(this.#file(digest), {
            start,
            end: end - 1,
            highWaterMark: limits.blobChunkBytes,
          })
        : Readable.from([]);
    const headers = { "content-type": "application/vnd.smalti.stream" };
    body.on("data", (piece: Buffer) => report(piece.length));
    const { body: answer } = await ask(url, {
      method: "PUT",
      body,
      headers,
      patienceMs: settleMs,
    });
    drop(answer);
  }
}

/** Fills `room` from the start of a file, as far as the file goes; returns the bytes read. */
function readStart(path: string, room: Uint8Array): number {
  const file = openSync(path, "r");
  try {
    for (let length = 0; ; ) {
      const read = readSync(file, room, length, room.length - length, length);
      length += read;
      if (read === 0 || length === room.length) return length;
    }
  } finally {
    closeSync(file);
  }
}

function* batches(
  blobs: readonly { digest: Digest; size: number }[],
): Generator<{ digest: Digest; size: number }[]> {
  let batch: { digest: Digest; size: number }[] = [];
  let bytes = 0;
  for (const blob of blobs) {
    const size = bulkHeadBytes + blob.size;
    if (bytes + size > bulkBytes) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(blob);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
