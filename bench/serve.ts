import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startNet, until } from "../test/support/net.ts";
import { startNginx } from "../test/support/nginx.ts";
import { has } from "./rsync.ts";
import { usageOf } from "./usage.ts";

const run = promisify(execFile);

/** One server, plain HTTP over loopback. */
export interface ServeRow {
  readonly server: string;
  /** 8 KiB files, 64 connections, requests a second; and for each CPU second of the server. */
  readonly requestsPerS: number;
  readonly requestsPerCpuS: number;
  /** One large file, one connection, 10^6 bytes a second. */
  readonly largeMBs: number;
  readonly peakMiB: number;
  /** Of the content that came. */
  readonly workHash: string;
}

interface Server {
  readonly name: string;
  readonly base: string;
  readonly pid: number;
}

const connections = 64;
const largeTimes = 6;

/** Requests by `wrk` where it is installed; else by this process, which then is the limit. */
async function requests(
  { base }: Server,
  options: { readonly files: number; readonly seconds: number; readonly work: string },
): Promise<number> {
  const { files, seconds, work } = options;
  // wrk says its version and ends with an error.
  if (!(await has("which", "wrk"))) return fetches(base, options);
  const script = join(work, "paths.lua");
  const path = new URL(base).pathname.replace(/\/$/, "");
  await writeFile(
    script,
    `local i = 0\nrequest = function() i = (i + 7) % ${files}; return wrk.format("GET", "${path}/f" .. i) end\n`,
  );
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, new URL(base).origin];
  const { stdout } = await run("wrk", args);
  if (/Non-2xx/.test(stdout)) throw new Error(`not every answer was good:\n${stdout}`);
  return Number(/(\d+) requests in/.exec(stdout)?.[1] ?? Number.NaN) / seconds;
}

async function fetches(
  base: string,
  { files, seconds }: { readonly files: number; readonly seconds: number },
): Promise<number> {
  let count = 0;
  const endsAt = performance.now() + seconds * 1000;
  const slot = async (first: number): Promise<void> => {
    for (let i = first; performance.now() < endsAt; i = (i + 7) % files) {
      const response = await fetch(`${base}/f${i % files}`);
      if (!response.ok) throw new Error(`${base}/f${i}: HTTP ${response.status}`);
      await response.arrayBuffer();
      count++;
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, i) => slot(i)));
  return count / seconds;
}

async function measure(
  server: Server,
  options: {
    readonly files: number;
    readonly largeBytes: number;
    readonly seconds: number;
    readonly work: string;
  },
): Promise<ServeRow> {
  await requests(server, { ...options, seconds: Math.ceil(options.seconds / 3) });
  const before = usageOf(server.pid).cpuS;
  const requestsPerS = await requests(server, options);
  const cpuS = usageOf(server.pid).cpuS - before;
  const hash = createHash("sha256");
  hash.update(Buffer.from(await (await fetch(`${server.base}/large`)).arrayBuffer()));
  const at = performance.now();
  for (let i = 0; i < largeTimes; i++)
    await run("curl", ["-sf", "-o", "/dev/null", `${server.base}/large`]);
  const seconds = (performance.now() - at) / 1000;
  return {
    server: server.name,
    requestsPerS,
    requestsPerCpuS: (requestsPerS * options.seconds) / cpuS,
    largeMBs: (largeTimes * options.largeBytes) / seconds / 1e6,
    peakMiB: usageOf(server.pid).peakBytes / 2 ** 20,
    workHash: hash.digest("hex").slice(0, 16),
  };
}

/** A reader beside nginx, the same files, in turn. */
export async function benchServe(options: {
  readonly files: number;
  readonly largeBytes: number;
  readonly seconds: number;
}): Promise<readonly ServeRow[]> {
  const work = await mkdtemp(join(tmpdir(), "smalti-serve-"));
  const source = join(work, "source");
  await mkdir(source);
  for (let i = 0; i < options.files; i++) await writeFile(join(source, `f${i}`), randomBytes(8192));
  await writeFile(join(source, "large"), randomBytes(options.largeBytes));
  for (const path of [work, source]) await chmod(path, 0o755);
  const net = await startNet({ writers: 1, readers: 1, logLevel: "silent" });
  const nginx = (await has("nginx", "-v")) ? await startNginx(source, work) : undefined;
  try {
    await net.must("publish", source, "bench");
    const reader = net.host("r0");
    await until(async () => (await reader.status()).height >= 1, 60_000, "the reader has it");
    const server = { name: "smalti, a reader", base: `${reader.http}/bench`, pid: reader.pid };
    const rows: ServeRow[] = [];
    const theirs = nginx && { name: "nginx", base: nginx.url, pid: nginx.pid };
    for (const one of [server, ...(theirs === undefined ? [] : [theirs])])
      rows.push(await measure(one, { ...options, work }));
    return rows;
  } finally {
    await nginx?.stop();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  }
}
