import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { append, emptyFrontier, leafHash, nodeHash, rootOf } from "../../src/core/crypto/index.ts";
import { put } from "./ecosystem.ts";

const name = "sum.example.com";
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
/** Algorithm 1: Ed25519. */
const key = Buffer.concat([
  Buffer.of(1),
  publicKey.export({ type: "spki", format: "der" }).subarray(-32),
]);
const keyHash = createHash("sha256").update(`${name}\n`).update(key).digest().subarray(0, 4);

/** What users set `GOSUMDB` to. */
export const sumdbKey = `${name}+${keyHash.toString("hex")}+${key.toString("base64")}`;

/** A module's version, with the files of its zip by name. */
export interface GoModule {
  readonly path: string;
  readonly version: string;
  readonly goMod: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** `h1:` of golang.org/x/mod/sumdb/dirhash: SHA-256 of the sorted lines of `sha256sum`. */
function hash1(files: Iterable<readonly [string, string | Uint8Array]>): string {
  const sum = createHash("sha256");
  for (const [file, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    sum.update(`${createHash("sha256").update(content).digest("hex")}  ${file}\n`);
  return `h1:${sum.digest("base64")}`;
}

function recordOf({ path, version, goMod, files }: GoModule): string {
  const mod = hash1([["go.mod", goMod]]);
  return `${path} ${version} ${hash1(files)}\n${path} ${version}/go.mod ${mod}\n`;
}

function noteOf(text: string): string {
  const signature = Buffer.concat([keyHash, sign(null, Buffer.from(text), privateKey)]);
  return `${text}\n— ${name} ${signature.toString("base64")}\n`;
}

/** Records that nobody asks for, so that there is a whole tile, and a level above it. */
const others = 300;
const tileWidth = 256;

function rootOfWhole(hashes: readonly Uint8Array[]): Uint8Array {
  const [one = new Uint8Array(), ...rest] = hashes;
  if (rest.length === 0) return one;
  const half = hashes.length / 2;
  return nodeHash(rootOfWhole(hashes.slice(0, half)), rootOfWhole(hashes.slice(half)));
}

/** One level's hashes as files: whole tiles, and the last one as far as it goes. */
async function putTiles(
  directory: string,
  level: number,
  hashes: readonly Uint8Array[],
): Promise<void> {
  for (let i = 0; i * tileWidth < hashes.length; i++) {
    const tile = hashes.slice(i * tileWidth, (i + 1) * tileWidth);
    const place = join(directory, "tile", "8", `${level}`, `${i}`.padStart(3, "0"));
    const path = tile.length === tileWidth ? place : join(`${place}.p`, `${tile.length}`);
    await put(path, Buffer.concat(tile));
  }
}

/**
 * A Go checksum database as files, as a module proxy serves it below `sumdb/NAME/`
 * (https://go.dev/ref/mod#checksum-database): its signed tree, tiles, and the records of `modules`.
 */
export async function putSumdb(proxy: string, modules: readonly GoModule[]): Promise<void> {
  const directory = join(proxy, "sumdb", name);
  const filler = Array.from({ length: others }, (_, i) => ({
    path: "example.com/other",
    version: `v0.0.${i}`,
    goMod: "",
    files: new Map(),
  }));
  const all = [...filler, ...modules];
  const hashes: Uint8Array[] = [];
  let tree = emptyFrontier;
  for (const module of all) {
    const record = Buffer.from(recordOf(module));
    hashes.push(leafHash(record));
    tree = append(tree, record).frontier;
  }
  await putTiles(directory, 0, hashes);
  const above: Uint8Array[] = [];
  for (let i = tileWidth; i <= hashes.length; i += tileWidth)
    above.push(rootOfWhole(hashes.slice(i - tileWidth, i)));
  await putTiles(directory, 1, above);
  const root = Buffer.from(rootOf(tree)).toString("base64");
  const latest = noteOf(`go.sum database tree\n${all.length}\n${root}\n`);
  await put(join(directory, "supported"), "");
  await put(join(directory, "latest"), latest);
  for (const [i, module] of modules.entries()) {
    const place = join(directory, "lookup", `${module.path}@${module.version}`);
    await put(place, `${others + i}\n${recordOf(module)}\n${latest}`);
  }
}

/** The files of a module as its zip names them. */
export async function goModule(
  path: string,
  version: string,
  directory: string,
): Promise<GoModule> {
  const root = `${path}@${version}`;
  const files = new Map<string, Uint8Array>();
  for (const file of ["go.mod", "file.bin"])
    files.set(`${root}/${file}`, await readFile(join(directory, root, file)));
  return { path, version, goMod: String(files.get(`${root}/go.mod`)), files };
}
