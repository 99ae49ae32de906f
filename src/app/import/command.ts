import { execFile } from "node:child_process";
import { SourceError } from "./source.ts";

const outputMax = 256 * 1024 * 1024;
/** A program that waits for a source that never ends is ended. */
const longestMs = 60 * 60_000;

/** What a program printed. Throws {@link SourceError} with its own words, unless its exit code is `fine`. */
export function run(
  command: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly input?: string | Uint8Array;
    readonly fine?: readonly number[];
  } = {},
): Promise<Buffer> {
  const env = { ...process.env, LC_ALL: "C", GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" };
  const { cwd, input, fine = [] } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { env, cwd, maxBuffer: outputMax, encoding: "buffer", timeout: longestMs },
      (error, stdout, stderr) => {
        if (error === null || fine.includes(Number(error.code))) return resolve(stdout);
        const isMissing = error.code === "ENOENT" && error.syscall?.startsWith("spawn") === true;
        const said = isMissing ? "it is not installed" : stderr.toString().trim().slice(-1000);
        reject(new SourceError(`${command} ${args[0] ?? ""}: ${said || error.message}`));
      },
    );
    // A program may end before it has read everything.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}
