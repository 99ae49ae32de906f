import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";

/** What came back from one exchange. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Exchange {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Milliseconds until the whole answer must be here. */
  readonly waitMs?: number;
}

/** One exchange on a connection of its own; the path goes out as it is written here. */
export function fetchRaw(base: string, path: string, options: Exchange = {}): Promise<Answer> {
  const { hostname, port } = new URL(base);
  const { method = "GET", headers = {}, body, waitMs = 15_000 } = options;
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const signal = AbortSignal.timeout(waitMs);
  return new Promise((resolve, reject) => {
    const all = { ...length, ...headers };
    const sent = request(
      { hostname, port, path, method, headers: all, agent: false, signal },
      (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.once("error", reject);
        answer.once("end", () => {
          const { statusCode = 0, headers: received } = answer;
          resolve({ status: statusCode, headers: received, body: Buffer.concat(pieces) });
        });
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

/** Writes bytes to a socket and resolves with all that came until the other side closed, or `waitMs` passed. */
export function talk(base: string, bytes: string | Uint8Array, waitMs = 3000): Promise<string> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve) => {
    let told = "";
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(), waitMs);
    socket.on("data", (piece: Buffer) => {
      told += piece.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(told);
    });
  });
}

/** Runs curl, the client that everybody has; resolves with its exit code and output. */
export function curl(
  ...args: string[]
): Promise<{ readonly code: number; readonly stdout: string }> {
  return new Promise((resolve) => {
    execFile("curl", ["-sS", ...args], { maxBuffer: 1 << 26 }, (error, stdout) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout });
    });
  });
}

/** Resident memory of a process, MiB (Linux). */
export async function rssMiB(pid: number): Promise<number> {
  const found = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1] ?? 0) / 1024;
}

/** Processor time that a process has used, milliseconds (Linux, 100 ticks a second). */
export async function cpuMs(pid: number): Promise<number> {
  const [, rest = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ");
  const fields = rest.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
