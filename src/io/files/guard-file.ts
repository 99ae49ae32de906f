import { constants } from "node:fs";
import { dirname } from "node:path";
import {
  encode,
  exactBytes,
  fields,
  natural,
  read,
  require,
  type Shape,
} from "../../core/codec/index.ts";
import { sha256Bytes } from "../../core/crypto/index.ts";
import { type FileSystem, type OpenFile, StorageError } from "../ports/index.ts";
import { nodeFiles } from "./durable.ts";

/** The last things this host signed. */
export interface GuardRow {
  readonly round: number;
  /** More may have been signed than this says: others must be asked before anything is signed again (`dag.md` §12). */
  readonly isReturning: boolean;
  readonly checkpointSize: number;
  readonly checkpointRoot: Uint8Array;
}

const slotBytes = 512;
const emptyRow: GuardRow = {
  round: 0,
  isReturning: false,
  checkpointSize: 0,
  checkpointRoot: new Uint8Array(32),
};

interface Slot {
  readonly sequence: number;
  readonly row: GuardRow;
}

const slotShape: Shape<Slot> = (value, what) => {
  const [sequence, round, size, root, isReturning] = fields(5)(value, what);
  require(typeof isReturning === "boolean", `${what}.isReturning is a boolean`);
  const row = {
    round: natural()(round, `${what}.round`),
    checkpointSize: natural()(size, `${what}.size`),
    checkpointRoot: exactBytes(32)(root, `${what}.root`),
    isReturning,
  };
  return { sequence: natural()(sequence, `${what}.sequence`), row };
};

/** length u16 · body · SHA-256(body), padded to the slot. */
function encodeSlot({ sequence, row }: Slot): Buffer {
  const { round, checkpointSize, checkpointRoot, isReturning } = row;
  const body = encode([sequence, round, checkpointSize, checkpointRoot, isReturning]);
  const slot = Buffer.alloc(slotBytes);
  slot.writeUInt16BE(body.length, 0);
  slot.set(body, 2);
  slot.set(sha256Bytes(body), 2 + body.length);
  return slot;
}

function decodeSlot(slot: Buffer): Slot | undefined {
  const length = slot.readUInt16BE(0);
  if (length + 34 > slotBytes) return undefined;
  const body = slot.subarray(2, 2 + length);
  if (Buffer.compare(slot.subarray(2 + length, 34 + length), sha256Bytes(body)) !== 0)
    return undefined;
  const decoded = read(body, slotShape, "guard");
  return decoded.ok ? decoded.value : undefined;
}

/** What opening the guard found: `isWhole` is false where it was missing, damaged, or says that it does not know all. */
export interface OpenedGuard {
  readonly guard: GuardFile;
  readonly row: GuardRow;
  readonly isWhole: boolean;
}

/** Creates the guard of a key that was made just now and so has signed nothing. */
export async function createGuard(path: string, files: FileSystem = nodeFiles): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const handle = await files.open(path, flags);
  try {
    const slots = [0, 1].map((sequence) => encodeSlot({ sequence, row: emptyRow }));
    await handle.writev(slots, 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await files.syncDirectory(dirname(path));
}

/** Opens the guard; where it is missing, one is made that says "unknown". */
export async function openGuard(path: string, files: FileSystem = nodeFiles): Promise<OpenedGuard> {
  const handle = await files.open(path, constants.O_RDWR | constants.O_CREAT);
  const content = Buffer.alloc(2 * slotBytes);
  const { bytesRead } = await handle.read(content, 0, content.length, 0);
  const slots = [
    decodeSlot(content.subarray(0, slotBytes)),
    decodeSlot(content.subarray(slotBytes)),
  ];
  const newest = slots.reduce(
    (a, b) => ((b?.sequence ?? -1) > (a?.sequence ?? -1) ? b : a),
    undefined,
  );
  const isWhole =
    bytesRead === content.length &&
    slots.every((slot) => slot !== undefined) &&
    newest?.row.isReturning === false;
  if (bytesRead < content.length) await handle.truncate(2 * slotBytes);
  await files.syncDirectory(dirname(path));
  return {
    guard: new GuardFile(path, handle, newest?.sequence ?? 1),
    row: newest?.row ?? emptyRow,
    isWhole,
  };
}

/** Two slots, written in turn: the older stays whole while the newer is written. */
export class GuardFile {
  readonly #path: string;
  readonly #handle: OpenFile;
  #sequence: number;
  #failure: StorageError | undefined;

  constructor(path: string, handle: OpenFile, sequence: number) {
    this.#path = path;
    this.#handle = handle;
    this.#sequence = sequence;
  }

  /** Durable when it resolves. A failure is for good. */
  async write(row: GuardRow): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#sequence++;
    const slot = encodeSlot({ sequence: this.#sequence, row });
    try {
      await this.#handle.write(slot, 0, slotBytes, (this.#sequence % 2) * slotBytes);
      await this.#handle.datasync();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failure = new StorageError(
        "STORAGE_GUARD_FAILED",
        `cannot write ${this.#path}: ${reason}`,
        { cause: error },
      );
      throw this.#failure;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
