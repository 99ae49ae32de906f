import { crc32 } from "node:zlib";
import { open, type RootDatabase } from "lmdb";

/** Values are stored with a checksum before them. */
export type StateDatabase = RootDatabase<Buffer, string>;

/** Entries on their way to the thread that writes them. */
export interface EntryBatch {
  readonly keys: readonly string[];
  /** Bytes of each value; `undefined`: the key is removed. */
  readonly sizes: readonly (number | undefined)[];
  /** The values, one after the other. */
  readonly bytes: Uint8Array;
}

export function openDatabase(directory: string): StateDatabase {
  return open<Buffer, string>({
    path: directory,
    encoding: "binary",
    compression: false,
    noSubdir: false,
  });
}

const checkBytes = 4;

/** CRC-32 over key and value: against a disk that changes bits, not against forgers. */
function check(key: string, value: Uint8Array): number {
  return crc32(value, crc32(key));
}

/** Puts or, where the value is `undefined`, removes an entry; inside a transaction. */
export function putEntry(
  database: StateDatabase,
  key: string,
  value: Uint8Array | undefined,
): void {
  if (value === undefined) return void database.remove(key);
  const bytes = Buffer.allocUnsafe(checkBytes + value.length);
  bytes.writeUInt32BE(check(key, value), 0);
  bytes.set(value, checkBytes);
  void database.put(key, bytes);
}

/** The value in what is stored under a key, or `undefined` if it is not what was written there. */
export function checkedValue(key: string, stored: Buffer): Buffer | undefined {
  const value = stored.subarray(checkBytes);
  const isTrue = stored.length >= checkBytes && stored.readUInt32BE(0) === check(key, value);
  return isTrue ? value : undefined;
}
