import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { runTool } from "./tools.ts";

/** What a client ended up with. */
export type Got = "new" | "old" | "refused" | "wrong";

/** A client as people have it, unmodified: how its archive is made, and how it is asked for the newest. */
export interface Ecosystem {
  readonly name: string;
  readonly tools: readonly string[];
  /** What people type; `URL` stands for the mirror or for `smalti light`. */
  readonly lines: string;
  /** Writes the archive of a generation (1 or 2) below `tree`; what was there before may be kept. */
  make(tree: string, generation: 1 | 2): Promise<void>;
  /** Fetches the newest through `url` into an empty directory. */
  fetch(url: string, into: string): Promise<Got>;
}

export const sha = (algorithm: string, bytes: Uint8Array, form: "hex" | "base64" = "hex"): string =>
  createHash(algorithm).update(bytes).digest(form);

/** Content that does not compress: its middle is its content. */
export function contentOf(name: string, generation: number, length = 400_000): Buffer {
  const pieces: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++)
    pieces.push(createHash("sha256").update(`${name} ${generation} ${i}`).digest());
  return Buffer.concat(pieces).subarray(0, length);
}

export async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

export async function must(
  tool: string,
  args: readonly string[],
  options: Parameters<typeof runTool>[2] = {},
): Promise<string> {
  const { code, stdout, stderr } = await runTool(tool, args, options);
  if (code !== 0)
    throw new Error(`${tool} ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** Compares what came with both generations. */
export function told(bytes: Uint8Array | undefined, name: string, length?: number): Got {
  if (bytes === undefined) return "refused";
  const is = (generation: number): boolean =>
    Buffer.compare(bytes, contentOf(name, generation, length)) === 0;
  return is(2) ? "new" : is(1) ? "old" : "wrong";
}

export const readIf = (path: string): Promise<Buffer | undefined> =>
  readFile(path).catch(() => undefined);
/** Seconds a tool may wait for a mirror that does not come to an end. */
const patienceMs = 12_000;
export const quick = { timeoutMs: patienceMs };
