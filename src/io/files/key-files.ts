import { generateKeyPairSync } from "node:crypto";
import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { fromHex, isPublicKey, type PublicKey } from "../../core/base/index.ts";
import { ed25519Signer, type Signer } from "../../core/crypto/index.ts";
import { StorageError } from "../ports/index.ts";
import { syncDirectory } from "./durable.ts";

/** Each role has a key of its own. */
export type KeyRole = "node" | "block" | "cosign" | "publisher" | "administrator";

/** A key of a host: its public part, its seed (32 bytes), and who signs with it. */
export interface LoadedKey {
  readonly role: KeyRole;
  readonly publicKey: PublicKey;
  readonly signer: Signer;
  /** 32 bytes; only the links need it, to make their certificate. */
  readonly seed: Uint8Array;
}

/** Makes a key file, 0600 in a directory 0700; never overwrites one. Throws KEY_EXISTS. */
export async function createKeyFile(path: string, role: KeyRole): Promise<LoadedKey> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  const { publicKey, seed, signer } = newKey();
  const content = `${JSON.stringify({ version: 1, role, publicKey, seed: seed.toString("hex") }, null, 2)}\n`;
  const handle = await openExclusively(path);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncDirectory(dirname(path));
  return { role, publicKey, seed, signer };
}

/** A key of no role, in memory only. */
export function newKey(): Pick<LoadedKey, "publicKey" | "signer"> & { readonly seed: Buffer } {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d = "", x = "" } = privateKey.export({ format: "jwk" });
  const seed = Buffer.from(d, "base64url");
  const publicKey = Buffer.from(x, "base64url").toString("hex") as PublicKey;
  return { publicKey, seed, signer: ed25519Signer(seed, publicKey) };
}

async function openExclusively(path: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new StorageError(
        "KEY_EXISTS",
        `${path} exists; keys are never overwritten. Choose another name`,
      );
    }
    throw error;
  }
}

/** Loads a key file. Throws KEY_MISSING, KEY_UNSAFE (others may read it, a link, another owner), KEY_MALFORMED. */
export async function loadKeyFile(path: string, role: KeyRole): Promise<LoadedKey> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ELOOP")
      throw new StorageError("KEY_UNSAFE", `${path} is a symbolic link; put the key itself there`);
    throw new StorageError(
      "KEY_MISSING",
      `no key at ${path} (${String(code)}); make one with: smalti keys gen`,
    );
  }
  try {
    const { mode, uid } = await handle.stat();
    if ((mode & 0o077) !== 0) {
      throw new StorageError("KEY_UNSAFE", `${path} can be read by others; run: chmod 600 ${path}`);
    }
    if (process.getuid !== undefined && uid !== process.getuid()) {
      throw new StorageError(
        "KEY_UNSAFE",
        `${path} belongs to user ${uid}, not to the user who runs this`,
      );
    }
    return parseKey(path, await handle.readFile("utf8"), role);
  } finally {
    await handle.close();
  }
}

function parseKey(path: string, text: string, role: KeyRole): LoadedKey {
  const malformed = (why: string): StorageError =>
    new StorageError("KEY_MALFORMED", `${path} is not a key file: ${why}`);
  let parsed: { role?: unknown; publicKey?: unknown; seed?: unknown };
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    throw malformed("not JSON");
  }
  const { publicKey, seed } = parsed;
  if (parsed.role !== role)
    throw malformed(`it is for the role "${String(parsed.role)}", "${role}" is needed`);
  if (!isPublicKey(publicKey) || !isPublicKey(seed))
    throw malformed("publicKey and seed are 64 hex digits");
  const bytes = fromHex(seed);
  try {
    return { role, publicKey, seed: bytes, signer: ed25519Signer(bytes, publicKey) };
  } catch {
    throw malformed("the public key does not belong to the seed");
  }
}
