import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "../../core/base/index.ts";
import { CodedError } from "../../core/base/index.ts";
import type { Signer } from "../../core/crypto/index.ts";
import {
  changesDigest,
  encodeChanges,
  type SignedUpdate,
  signPolicy,
  signUpdate,
  type UpdateSource,
} from "../../core/mirror/index.ts";
import { answeringFirst } from "./any-server.ts";
import { findChanged } from "./find-changed.ts";
import { filesByDigest, type LocalLeaf } from "./local-tree.ts";
import { NotWitnessedError, untilWitnessed, type Witnessed } from "./observed.ts";
import type { Plan } from "./plan.ts";
import { askJson, ServerError } from "./transfer.ts";
import { type Trust, type VerifiedReceipt, verifyReceipt } from "./trust.ts";
import { type PublishProgress, settleMs, Upload } from "./upload.ts";

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

/** A receipt as JSON, and what it proves. */
export interface Published {
  readonly receipt: unknown;
  readonly verified: VerifiedReceipt;
  /** The writer that took it. */
  readonly writer: string;
  readonly uploadedBytes: number;
}

const waitS = 20;
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
  readonly plan: Pick<Plan, "tree" | "baseHeight" | "changes"> & Partial<Pick<Plan, "bases">>;
  readonly local: ReadonlyMap<string, LocalLeaf>;
  /** Writers are to see the bytes there before it is published. */
  readonly source?: UpdateSource;
  /** How long so many writers may refuse that it cannot be published, milliseconds. */
  readonly witnessPatienceMs?: number;
  readonly onWitnessed?: (rows: readonly Witnessed[]) => void;
  readonly onProgress?: (progress: PublishProgress) => void;
}): Promise<Published> {
  const { trust, signer, plan, source } = options;
  const changes = encodeChanges(plan);
  const record = {
    group: trust.network.group,
    publisher: signer.publicKey,
    tree: plan.tree,
    changes: { digest: changesDigest(changes), bytes: changes.length },
    nonce: randomBytes(16).toString("hex"),
    ...(source === undefined ? {} : { source }),
  };
  const update = signUpdate(record, signer);
  const upload = new Upload({
    update,
    changes,
    files: filesByDigest(options.local),
    bases: plan.bases ?? new Map(),
    onProgress: options.onProgress,
  });
  const published = await throughAny(await answeringFirst(options.writers), async (writer) => {
    await upload.to(writer);
    const { id } = update;
    if (source !== undefined) {
      const { writers, witnessPatienceMs: patienceMs = 30_000, onWitnessed: onSeen } = options;
      await untilWitnessed({ writers, id, observers: source.observers, patienceMs, onSeen });
    }
    return settle(trust, { writer, all: options.writers }, id);
  }).catch(async (error: unknown) => {
    const changed = plan.changes.flatMap(({ path }) => options.local.get(path) ?? []);
    throw (await findChanged(changed).catch(() => undefined)) ?? error;
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

/**
 * Submits an update again that its publisher signed for another group of the same past, with its content. Returns what
 * became of it here: `published`, `conflict`, …
 */
export async function resubmit(options: {
  readonly trust: Trust;
  readonly writers: readonly string[];
  readonly update: SignedUpdate;
  readonly changes: Uint8Array;
  readonly files: ReadonlyMap<Digest, string>;
}): Promise<string> {
  const { trust, writers, update, changes, files } = options;
  const upload = new Upload({ update, changes, files, bases: new Map(), onProgress: undefined });
  const { verified } = await throughAny(await answeringFirst(writers), async (writer) => {
    await upload.to(writer);
    return settle(trust, { writer, all: writers }, update.id);
  });
  return verified.outcome;
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
      // The order has it: no other writer would do more.
      if (error instanceof NotWitnessedError) throw error;
      errors.push(
        error instanceof ServerError
          ? error
          : new CodedError("NO_SERVER", `${writer}: ${causeOf(error)}`),
      );
    }
  }
  if (errors.length > 0 && errors.every(isRefusal)) throw errors[0];
  const told = errors.map(
    (error) => `\n  ${error instanceof Error ? error.message : String(error)}`,
  );
  throw new CodedError("NO_QUORUM", `no writer took it${told.join("")}`);
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof ServerError) || error.code === "NOT_A_WRITER") return false;
  return error.status >= 400 && error.status < 500;
}

function causeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? String(error);
}

/**
 * Waits until an update's outcome is certified, and verifies the receipt. The writer that took it is asked first, then
 * the others in turn: a receipt proves itself, and one that says "pending" for ever must not hold anybody up.
 */
async function settle(
  trust: Trust,
  { writer, all }: { readonly writer: string; readonly all: readonly string[] },
  id: Digest,
): Promise<Omit<Published, "uploadedBytes">> {
  const startedMs = Date.now();
  const asked = [writer, ...all.filter((other) => other !== writer)];
  for (let i = 0; Date.now() < startedMs + settleMs; i++) {
    const server = asked[i % asked.length] ?? writer;
    try {
      const settled = await receiptFrom(trust, server, id);
      if (settled !== undefined) return { ...settled, writer };
    } catch (error) {
      // Only the writer that took it is to blame for its own answer.
      if (server === writer) throw error;
    }
    await sleep(settlePauseMs);
  }
  throw new CodedError(
    "NO_QUORUM",
    `${writer}: the update ${id} was not ordered within ${settleMs / 1000} s; ask again later with: smalti publish`,
  );
}

/** The verified receipt, if that server has it yet. */
async function receiptFrom(
  trust: Trust,
  server: string,
  id: Digest,
): Promise<Pick<Published, "receipt" | "verified"> | undefined> {
  const { state, receipt } = await askJson<{ state: string; receipt?: unknown }>(
    `${server}/.smalti/v1/updates/${id}?wait=${waitS}`,
    { patienceMs: (waitS + 10) * 1000 },
  );
  if (state !== "settled") return undefined;
  const verified = verifyReceipt(trust, receipt);
  if (!verified.ok)
    throw new ServerError(
      server,
      200,
      verified.error.code,
      `the receipt does not verify: ${verified.error.detail}`,
    );
  if (verified.value.id !== id)
    throw new ServerError(server, 200, "WRONG_PROOF", "the receipt is of another update");
  return { receipt, verified: verified.value };
}

/** Grants trees to a publisher, or takes all rights away with an empty list. */
export async function changePublisher(options: {
  readonly trust: Trust;
  readonly writers: readonly string[];
  readonly signer: Signer;
  readonly publisher: SignedUpdate["record"]["publisher"];
  readonly name: string;
  readonly trees: readonly string[];
  /** Updates that are taken of him in an hour; `undefined`: as many as the limits say. */
  readonly perHour?: number | undefined;
}): Promise<Published> {
  const { trust, signer, publisher, name, trees, perHour } = options;
  const published = await throughAny(await answeringFirst(options.writers), async (writer) => {
    const { version } = await askJson<{ version: number }>(`${writer}/.smalti/v1/policy`);
    const record = {
      group: trust.network.group,
      administrator: signer.publicKey,
      version,
      publisher,
      name,
      trees,
      perHour,
    };
    const change = signPolicy(record, signer);
    const headers = { "content-type": "application/octet-stream" };
    await askJson(`${writer}/.smalti/v1/policy`, { method: "POST", body: change.wire, headers });
    return settle(trust, { writer, all: options.writers }, change.id);
  });
  if (published.verified.outcome !== "published")
    throw new RefusedError(published.verified.outcome);
  return { ...published, uploadedBytes: 0 };
}
