import { randomBytes } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Digest, limits } from "../../core/base/index.ts";
import type { Signer } from "../../core/crypto/index.ts";
import {
  type Change,
  changesDigest,
  type Difference,
  encodeChanges,
  fingerprint,
  type SignedUpdate,
  signPolicy,
  signUpdate,
} from "../../core/mirror/index.ts";
import { filesByDigest, type LocalLeaf } from "./local-tree.ts";
import { ask, askJson, bulkHead, ServerError } from "./transfer.ts";
import { type Trust, type VerifiedReceipt, verifyReceipt } from "./trust.ts";

/** What publishing would change. */
export interface Plan {
  readonly tree: string;
  readonly baseHeight: number;
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly deleted: readonly string[];
  /** Paths that are in the tree and not in the directory, and stay. */
  readonly kept: number;
  readonly changes: readonly Change[];
}

/**
 * What makes a tree (`before`) what a local directory is (`after`). Without `delete`, paths that are only in the tree
 * stay.
 */
export function planPublish(options: {
  readonly tree: string;
  readonly baseHeight: number;
  readonly differences: Iterable<Difference>;
  readonly delete: boolean;
}): Plan {
  const { tree, baseHeight } = options;
  const added: string[] = [];
  const changed: string[] = [];
  const deleted: string[] = [];
  const changes: Change[] = [];
  let kept = 0;
  for (const { path, before, after } of options.differences) {
    if (after === undefined && !options.delete) {
      kept++;
      continue;
    }
    (after === undefined ? deleted : before === undefined ? added : changed).push(path);
    changes.push({
      path,
      leaf: after,
      expect: before === undefined ? "absent" : fingerprint(before),
    });
  }
  return { tree, baseHeight, added, changed, deleted, kept, changes };
}

/** Somebody else changed the same paths first; nothing of this update was applied and nothing is lost. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
  readonly code = "CONFLICT";
  readonly paths: readonly string[];
  constructor(tree: string, paths: readonly string[]) {
    const shown = paths.slice(0, 10).map((path) => `\n  ${path}`);
    const more = paths.length > shown.length ? `\n  … and ${paths.length - shown.length} more` : "";
    super(
      `another publisher changed ${paths.length} of these paths in "${tree}" first; nothing was applied:${shown.join("")}${more}\nlook at the newest state (smalti diff, smalti get), then publish again`,
    );
    this.paths = paths;
  }
}

/** The order refused the update, for another reason than a conflict. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly code: string;
  constructor(outcome: string) {
    super(`the update was ordered and refused: ${outcome}`);
    this.code = outcome.toUpperCase().replaceAll("-", "_");
  }
}

export interface PublishProgress {
  readonly phase: "upload" | "order" | "done";
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly writer: string;
}

/** A receipt as JSON, and what it proves. */
export interface Published {
  readonly receipt: unknown;
  readonly verified: VerifiedReceipt;
  /** The writer that took it. */
  readonly writer: string;
  readonly uploadedBytes: number;
}

const bulkBytes = 8 * 1024 * 1024;
const waitS = 20;
const settleMs = 120_000;
/** Between two questions, should a writer answer without waiting. */
const settlePauseMs = 100;

/**
 * Publishes changes through the first of `writers` that takes them; if it fails on the way, the same signed
 * update goes through the next one. Resolves when the change is published, certified and the receipt verified.
 */
export async function publishChanges(options: {
  readonly trust: Trust;
  readonly writers: readonly string[];
  readonly signer: Signer;
  readonly plan: Pick<Plan, "tree" | "baseHeight" | "changes">;
  readonly local: ReadonlyMap<string, LocalLeaf>;
  readonly onProgress?: (progress: PublishProgress) => void;
}): Promise<Published> {
  const { trust, signer, plan } = options;
  const changes = encodeChanges(plan);
  const record = {
    group: trust.network.group,
    publisher: signer.publicKey,
    tree: plan.tree,
    changes: { digest: changesDigest(changes), bytes: changes.length },
    nonce: randomBytes(16).toString("hex"),
  };
  const update = signUpdate(record, signer);
  const upload = new Upload({
    update,
    changes,
    files: filesByDigest(options.local),
    onProgress: options.onProgress,
  });
  const published = await throughAny(options.writers, async (writer) => {
    await upload.to(writer);
    return settle(trust, writer, update.id);
  });
  options.onProgress?.({
    phase: "done",
    doneBytes: upload.doneBytes,
    totalBytes: upload.doneBytes,
    writer: published.writer,
  });
  const { outcome, conflicts } = published.verified;
  if (outcome === "conflict") throw new ConflictError(plan.tree, conflicts);
  if (outcome !== "published") throw new RefusedError(outcome);
  return { ...published, uploadedBytes: upload.doneBytes };
}

/** Tries writers in turn. One that refuses may be cheating: only if all that answer refuse, it is so. */
async function throughAny<T>(
  writers: readonly string[],
  attempt: (writer: string) => Promise<T>,
): Promise<T> {
  const errors: unknown[] = [];
  for (const writer of writers) {
    try {
      return await attempt(writer);
    } catch (error) {
      errors.push(error instanceof ServerError ? error : new Error(`${writer}: ${causeOf(error)}`));
    }
  }
  if (errors.length > 0 && errors.every(isRefusal)) throw errors[0];
  const told = errors.map(
    (error) => `\n  ${error instanceof Error ? error.message : String(error)}`,
  );
  throw Object.assign(new Error(`no writer took it${told.join("")}`), { code: "NO_QUORUM" });
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof ServerError) || error.code === "NOT_A_WRITER") return false;
  return error.status >= 400 && error.status < 500;
}

function causeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? String(error);
}

class Upload {
  readonly #update: SignedUpdate;
  readonly #changes: Uint8Array;
  readonly #files: ReadonlyMap<Digest, string>;
  readonly #onProgress: (progress: PublishProgress) => void;
  doneBytes = 0;

  constructor(options: {
    readonly update: SignedUpdate;
    readonly changes: Uint8Array;
    readonly files: ReadonlyMap<Digest, string>;
    readonly onProgress: ((progress: PublishProgress) => void) | undefined;
  }) {
    this.#update = options.update;
    this.#changes = options.changes;
    this.#files = options.files;
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
    this.#onProgress({
      phase: "order",
      doneBytes: this.doneBytes,
      totalBytes: this.doneBytes,
      writer,
    });
    await askJson(`${url}/submit`, { method: "POST" });
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
    const queue = batches(small);
    const work = async (): Promise<void> => {
      for (const batch of queue) {
        const body = this.#bulk(batch);
        const headers = { "content-type": "application/vnd.smalti.stream" };
        await askJson(`${url}/blobs`, { method: "POST", body, headers, patienceMs: settleMs });
        report(batch.reduce((sum, { size }) => sum + size, 0));
      }
    };
    // One is read, or made durable there, while the other is on its way.
    await Promise.all([work(), work()]);
    const large = missing.filter(({ size }) => size > limits.packedBlobBytesMax).values();
    const sendNext = async (): Promise<void> => {
      for (const blob of large) await this.#sendLarge(url, blob, report);
    };
    await Promise.all([sendNext(), sendNext()]);
  }

  #file(digest: Digest): string {
    const file = this.#files.get(digest);
    if (file === undefined) throw new Error(`no local file has the content ${digest}`);
    return file;
  }

  #bulk(batch: readonly { digest: Digest; size: number }[]): Uint8Array {
    const parts = batch.flatMap(({ digest }) => {
      const bytes = readFileSync(this.#file(digest));
      return [bulkHead(digest, bytes.length), bytes];
    });
    return Buffer.concat(parts);
  }

  /** Goes on where an interrupted upload stopped. */
  async #sendLarge(
    url: string,
    { digest, size }: { digest: Digest; size: number },
    report: (bytes: number) => void,
  ): Promise<void> {
    const { offset } = await askJson<{ offset: number }>(`${url}/blobs/${digest}`);
    const start = offset < size ? offset : 0;
    const body = createReadStream(this.#file(digest), {
      start,
      highWaterMark: limits.blobChunkBytes,
    });
    const headers = { "content-type": "application/vnd.smalti.stream" };
    body.on("data", (piece) => report(piece.length));
    await ask(`${url}/blobs/${digest}?offset=${start}`, {
      method: "PUT",
      body,
      headers,
      patienceMs: settleMs,
    }).then(({ body: answer }) => answer.dump());
  }
}

function* batches(
  blobs: readonly { digest: Digest; size: number }[],
): Generator<{ digest: Digest; size: number }[]> {
  let batch: { digest: Digest; size: number }[] = [];
  let bytes = 0;
  for (const blob of blobs) {
    if (bytes + blob.size > bulkBytes && batch.length > 0) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(blob);
    bytes += blob.size;
  }
  if (batch.length > 0) yield batch;
}

/** Waits until an update's outcome is certified, and verifies the receipt. */
async function settle(
  trust: Trust,
  writer: string,
  id: Digest,
): Promise<Omit<Published, "uploadedBytes">> {
  const deadline = Date.now() + settleMs;
  while (Date.now() < deadline) {
    const url = `${writer}/.smalti/v1/updates/${id}?wait=${waitS}`;
    const status = await askJson<{ state: string; receipt?: unknown }>(url, {
      patienceMs: (waitS + 10) * 1000,
    });
    if (status.state !== "settled") {
      await sleep(settlePauseMs);
      continue;
    }
    const verified = verifyReceipt(trust, status.receipt);
    if (!verified.ok)
      throw new ServerError(
        writer,
        200,
        verified.error.code,
        `the receipt does not verify: ${verified.error.detail}`,
      );
    if (verified.value.id !== id)
      throw new ServerError(writer, 200, "WRONG_PROOF", "the receipt is of another update");
    return { receipt: status.receipt, verified: verified.value, writer };
  }
  throw Object.assign(
    new Error(
      `${writer}: the update ${id} was not ordered within ${settleMs / 1000} s; ask again later with: smalti publish`,
    ),
    {
      code: "NO_QUORUM",
    },
  );
}

/** Grants trees to a publisher, or takes all rights away with an empty list. */
export async function changePublisher(options: {
  readonly trust: Trust;
  readonly writers: readonly string[];
  readonly signer: Signer;
  readonly publisher: SignedUpdate["record"]["publisher"];
  readonly name: string;
  readonly trees: readonly string[];
}): Promise<Published> {
  const { trust, signer, publisher, name, trees } = options;
  const published = await throughAny(options.writers, async (writer) => {
    const { version } = await askJson<{ version: number }>(`${writer}/.smalti/v1/policy`);
    const record = {
      group: trust.network.group,
      administrator: signer.publicKey,
      version,
      publisher,
      name,
      trees,
    };
    const change = signPolicy(record, signer);
    const headers = { "content-type": "application/octet-stream" };
    await askJson(`${writer}/.smalti/v1/policy`, { method: "POST", body: change.wire, headers });
    return settle(trust, writer, change.id);
  });
  if (published.verified.outcome !== "published")
    throw new RefusedError(published.verified.outcome);
  return { ...published, uploadedBytes: 0 };
}
