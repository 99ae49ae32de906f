import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { encodeEvidence } from "../../core/accountability/index.ts";
import {
  Author,
  CodedError,
  type Digest,
  equalBytes,
  fail,
  fromBase64,
  ok,
  type Result,
  toBase64,
} from "../../core/base/index.ts";
import { readNote, verifyConsistency } from "../../core/crypto/index.ts";
import type { Trust, VerifiedHead } from "./trust.ts";

/** The newest head that a client has ever seen: nothing older is taken for the newest any more. */
export interface HighWaterMark {
  readonly height: number;
  readonly logSize: number;
  /** 32 bytes. */
  readonly logRoot: Uint8Array;
  readonly leaseS: number;
  /** The checkpoint, as a signed note. */
  readonly note: string;
}

/** Where a client remembers it; what is written must be durable before the write resolves. */
export interface MarkStore {
  /** What was written last; `undefined` at first. */
  read(): Promise<HighWaterMark | undefined>;
  /** Takes the place of what was written before. */
  write(mark: HighWaterMark): Promise<void>;
}

/** A mark that is forgotten with its client. */
export class Marks implements MarkStore {
  #mark: HighWaterMark | undefined;

  async read(): Promise<HighWaterMark | undefined> {
    return this.#mark;
  }

  async write(mark: HighWaterMark): Promise<void> {
    this.#mark = mark;
  }
}

/** What the servers show is older than it may be; `code` says in which way. */
export class StaleError extends Error {
  override readonly name = "StaleError";
  /** STALE: not vouched for lately. ROLLED_BACK: older than what this client has seen. */
  readonly code: "STALE" | "ROLLED_BACK";
  constructor(code: "STALE" | "ROLLED_BACK", message: string) {
    super(message);
    this.code = code;
  }
}

/** Two certified heads that cannot both be: more than f writers cheat. `evidence` convicts those who signed both. */
export class ForkError extends Error {
  override readonly name = "ForkError";
  readonly code = "FORK";
  readonly evidence: readonly Uint8Array[];
  constructor(message: string, evidence: readonly Uint8Array[]) {
    super(message);
    this.evidence = evidence;
  }
}

const markSchema = v.object({
  version: v.literal(1),
  height: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  logSize: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  logRoot: v.string(),
  leaseS: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  note: v.string(),
});

/** In the largest unit of which there are two. */
function ageText(seconds: number): string {
  const units = [
    ["days", 86_400],
    ["hours", 3600],
    ["minutes", 60],
  ] as const;
  const [name, length] = units.find(([, one]) => seconds >= 2 * one) ?? ["s", 1];
  return `${Math.round(seconds / length)} ${name}`;
}

/** The newest that is shown was last vouched for too long ago. */
export function staleHead(
  height: number,
  { ageS, allowedS }: { readonly ageS: number; readonly allowedS: number },
): StaleError {
  return new StaleError(
    "STALE",
    `the newest state is height ${height}, and the writers last vouched for it ${ageText(ageS)} ago (allowed: ${ageText(allowedS)}): the network stands still, these servers hold back what is newer, or this machine's clock is wrong`,
  );
}

/** The mark of one network in a file; replaced as a whole, synced before it counts. */
export class MarkFile implements MarkStore {
  readonly path: string;

  constructor(directory: string, group: Digest) {
    this.path = join(directory, `${group}.json`);
  }

  /** Throws MARK_MALFORMED where the file is there and cannot be read: forgetting it would allow a rollback. */
  async read(): Promise<HighWaterMark | undefined> {
    const written = await readFile(this.path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (written === undefined) return undefined;
    try {
      const mark = v.parse(markSchema, JSON.parse(written));
      const logRoot = fromBase64(mark.logRoot);
      if (logRoot?.length === 32) return { ...mark, logRoot };
    } catch {
      // Told below, whatever it is that is wrong.
    }
    const advice = "what this client has seen is lost; remove the file to begin anew";
    throw new CodedError("MARK_MALFORMED", `${this.path} is damaged: ${advice}`);
  }

  /** Durable once it resolves. */
  async write({ logRoot, ...mark }: HighWaterMark): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    const temporary = `${this.path}.${process.pid}.part`;
    const file = await open(temporary, "w", 0o600);
    try {
      const written = { version: 1, ...mark, logRoot: toBase64(logRoot) };
      await file.writeFile(`${JSON.stringify(written)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.path);
    const directory = await open(dirname(this.path), "r");
    await directory.sync().finally(() => directory.close());
  }
}

export function markOf(head: VerifiedHead): HighWaterMark {
  const { height, logSize, logRoot, leaseS, note } = head;
  return { height, logSize, logRoot, leaseS, note };
}

/**
 * Compares a head with the newest one that was seen before. `hashes` brings a consistency proof (RFC 6962 §2.1.2) from
 * the older size to the newer. Fault: UNPROVEN, where the proof does not show that the one is the beginning of the
 * other. Throws {@link StaleError}, {@link ForkError}.
 */
export async function compareWithMark(
  trust: Trust,
  { mark, head }: { readonly mark: HighWaterMark; readonly head: VerifiedHead },
  hashes: (from: number, to: number) => Promise<readonly Uint8Array[]>,
): Promise<Result<void>> {
  if (head.logSize < mark.logSize)
    throw new StaleError(
      "ROLLED_BACK",
      `the newest that the servers show is height ${head.height}, and this client has seen height ${mark.height}: they are behind, or hold it back`,
    );
  if (head.logSize === mark.logSize) {
    if (equalBytes(head.logRoot, mark.logRoot)) return ok(undefined);
    throw new ForkError(
      `two certified checkpoints of ${mark.logSize} leaves contradict one another: more than f writers cheat`,
      contradictions(trust, mark.note, head.note),
    );
  }
  const older = { size: mark.logSize, root: mark.logRoot };
  const newer = { size: head.logSize, root: head.logRoot };
  if (verifyConsistency(older, newer, await hashes(older.size, newer.size))) return ok(undefined);
  return fail(
    "UNPROVEN",
    `nothing shows that the log of ${newer.size} leaves continues the one of ${older.size} that this client has seen`,
  );
}

/** Proofs against everybody who cosigned both: two roots for one size. */
function contradictions({ network }: Trust, older: string, newer: string): readonly Uint8Array[] {
  const [first, second] = [readNote(older), readNote(newer)];
  if (!first.ok || !second.ok) return [];
  const { size } = second.value.checkpoint;
  const signed = (of: typeof first.value, name: string) => {
    const line = of.lines.find((one) => one.name === name);
    return line && { root: of.checkpoint.root, timeS: line.timeS, signature: line.signature };
  };
  return network.cosigners.flatMap(({ name }, i) => {
    const [one, other] = [signed(first.value, name), signed(second.value, name)];
    if (one === undefined || other === undefined) return [];
    const evidence = {
      kind: "contradicting-checkpoint",
      author: Author(i),
      size,
      first: one,
      second: other,
    } as const;
    return [encodeEvidence(network, evidence)];
  });
}
