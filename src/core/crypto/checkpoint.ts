import {
  bigEndian,
  concatBytes,
  equalBytes,
  fail,
  fromBase64,
  fromHex,
  ok,
  type PublicKey,
  type Result,
  readBigEndian,
  toBase64,
  utf8,
} from "../base/index.ts";
import { sha256Bytes } from "./digest.ts";
import type { Signer, Verifier } from "./signature.ts";

/** The head of a log (C2SP tlog-checkpoint): `size` leaves, `root` 32 bytes. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** Who may cosign: `name` as it stands on the signature line, and the key of that role. */
export interface Cosigner {
  readonly name: string;
  readonly key: PublicKey;
}

/** One `cosignature/v1` (C2SP tlog-cosignature): `timeS` in POSIX seconds, `signature` 64 bytes. */
export interface Cosignature {
  readonly name: string;
  readonly timeS: number;
  readonly signature: Uint8Array;
}

function checkpointBody(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${toBase64(checkpoint.root)}\n`;
}

function cosignedBytes(checkpoint: Checkpoint, timeS: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timeS}\n${checkpointBody(checkpoint)}`);
}

/** Key id of a C2SP cosigner: SHA-256(name ‖ "\n" ‖ 0x04 ‖ key), first 4 bytes. */
function keyId(cosigner: Cosigner): Uint8Array {
  return sha256Bytes(utf8(`${cosigner.name}\n`), Uint8Array.of(4), fromHex(cosigner.key)).slice(
    0,
    4,
  );
}

/** A writer's cosignature under a checkpoint (C2SP tlog-cosignature, Ed25519 v1). */
export function cosign(
  checkpoint: Checkpoint,
  by: { readonly name: string; readonly signer: Signer; readonly timeS: number },
): Cosignature {
  return {
    name: by.name,
    timeS: by.timeS,
    signature: by.signer.sign(cosignedBytes(checkpoint, by.timeS)),
  };
}

/** True if the cosigner signed this checkpoint at this time. */
export function verifyCosignature(
  checkpoint: Checkpoint,
  cosignature: Cosignature,
  by: { readonly cosigner: Cosigner; readonly verifier: Verifier },
): boolean {
  if (by.cosigner.name !== cosignature.name) return false;
  const message = cosignedBytes(checkpoint, cosignature.timeS);
  return by.verifier.verify(by.cosigner.key, message, cosignature.signature);
}

/** The checkpoint as a C2SP signed note: body, empty line, one line a cosignature. */
export function writeNote(
  checkpoint: Checkpoint,
  cosignatures: readonly Cosignature[],
  cosigners: readonly Cosigner[],
): string {
  let note = `${checkpointBody(checkpoint)}\n`;
  for (const cosignature of cosignatures) {
    const cosigner = cosigners.find((known) => known.name === cosignature.name);
    if (cosigner === undefined) continue;
    const blob = concatBytes([
      keyId(cosigner),
      bigEndian(0, 2),
      bigEndian(cosignature.timeS, 6),
      cosignature.signature,
    ]);
    note += `— ${cosignature.name} ${toBase64(blob)}\n`;
  }
  return note;
}

const noteBytesMax = 64 * 1024;
const signatureLine = /^— (\S+) (\S+)$/;

/** Reads a note; signatures of unknown kinds are ignored, as the format asks. Nothing is verified. */
export function readNote(
  note: string,
): Result<{ readonly checkpoint: Checkpoint; readonly lines: readonly NoteLine[] }> {
  if (note.length > noteBytesMax) return fail("MALFORMED_NOTE", "the note is too long");
  const gap = note.indexOf("\n\n");
  if (gap < 0 || !note.endsWith("\n"))
    return fail("MALFORMED_NOTE", "no empty line between body and signatures");
  const [origin, sizeText, rootText, ...more] = note.slice(0, gap).split("\n");
  if (!origin || sizeText === undefined || rootText === undefined || more.length > 0) {
    return fail("MALFORMED_NOTE", "the body is origin, size and root");
  }
  const root = fromBase64(rootText);
  const size = Number(sizeText);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(sizeText) || !Number.isSafeInteger(size)) {
    return fail("MALFORMED_NOTE", "the size is a decimal number");
  }
  if (root?.length !== 32) return fail("MALFORMED_NOTE", "the root is 32 bytes of base64");
  const lines = linesOf(note.slice(gap + 2, -1));
  return lines.ok ? ok({ checkpoint: { origin, size, root }, lines: lines.value }) : lines;
}

function linesOf(text: string): Result<readonly NoteLine[]> {
  const lines: NoteLine[] = [];
  for (const line of text.split("\n")) {
    const [, name, blobText] = signatureLine.exec(line) ?? [];
    const blob = blobText === undefined ? undefined : fromBase64(blobText);
    if (name === undefined || blob === undefined)
      return fail("MALFORMED_NOTE", "a line after the body is no signature");
    lines.push(...cosignatureOf(name, blob));
  }
  return ok(lines);
}

export interface NoteLine {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly timeS: number;
  readonly signature: Uint8Array;
}

/** Signatures of other kinds are others' business. */
function cosignatureOf(name: string, blob: Uint8Array): NoteLine[] {
  if (blob.length !== 76) return [];
  const timeS = readBigEndian(blob.subarray(4, 12));
  if (!Number.isSafeInteger(timeS)) return [];
  return [{ name, keyId: blob.slice(0, 4), timeS, signature: blob.slice(12) }];
}

/** The lease of a note that has only cosignatures that were verified, each cosigner once: see {@link CertifiedCheckpoint}. */
export function leaseOf(note: string, quorum: number): number {
  const read = readNote(note);
  const times = read.ok ? read.value.lines.map(({ timeS }) => timeS) : [];
  return times.sort((a, b) => b - a)[quorum - 1] ?? 0;
}

/** A checkpoint that a quorum vouched for. Times are of the cosigners' clocks, POSIX seconds. */
export interface CertifiedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly signers: readonly string[];
  /** The note with nothing but the cosignatures that were verified: what may be kept, compared and passed on. */
  readonly note: string;
  readonly newestS: number;
  /**
   * The freshness lease: when a whole quorum had said that this is the newest. An honest writer never cosigns an older
   * one after a newer one (C2SP tlog-cosignature), so no other checkpoint was certified before this time.
   */
  readonly leaseS: number;
}

/** Verifies a note: `quorum` distinct known cosigners over the expected origin, else a fault. */
export function verifyNote(
  note: string,
  expected: {
    readonly origin: string;
    readonly cosigners: readonly Cosigner[];
    readonly quorum: number;
    readonly verifier: Verifier;
  },
): Result<CertifiedCheckpoint> {
  const parsed = readNote(note);
  if (!parsed.ok) return parsed;
  const { checkpoint, lines } = parsed.value;
  if (checkpoint.origin !== expected.origin) {
    return fail(
      "WRONG_ORIGIN",
      `the checkpoint is of ${checkpoint.origin}, not of ${expected.origin}`,
    );
  }
  const valid = new Map<string, Cosignature>();
  for (const line of lines) {
    const cosigner = expected.cosigners.find((known) => known.name === line.name);
    if (cosigner === undefined || valid.has(line.name) || !equalBytes(keyId(cosigner), line.keyId))
      continue;
    if (!verifyCosignature(checkpoint, line, { cosigner, verifier: expected.verifier })) continue;
    valid.set(line.name, line);
  }
  if (valid.size < expected.quorum) {
    return fail(
      "NO_QUORUM",
      `${valid.size} of the ${expected.quorum} cosignatures needed are valid`,
    );
  }
  const times = [...valid.values()].map(({ timeS }) => timeS).sort((a, b) => b - a);
  const leaseS = times[expected.quorum - 1] ?? 0;
  return ok({
    checkpoint,
    signers: [...valid.keys()],
    note: writeNote(checkpoint, [...valid.values()], expected.cosigners),
    newestS: times[0] ?? 0,
    leaseS,
  });
}
