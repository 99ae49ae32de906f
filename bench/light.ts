import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { LightProcess } from "../test/support/light.ts";
import { startNet } from "../test/support/net.ts";

const run = promisify(execFile);

/** A cold `npm ci` through one of the two, and how much longer than straight from a reader. */
export interface LightRow {
  readonly through: string;
  readonly packages: number;
  /** The best of the runs; npm has nothing in its cache, and the proxy is started anew for each. */
  readonly seconds: number;
  readonly timesReader: number;
  readonly workHash: string;
}

interface Options {
  readonly packages: number;
  readonly runs: number;
}

const name = (i: number): string => `pkg-${String(i).padStart(3, "0")}`;

/** Packages of a few kilobytes, and a lock file that names them all. */
async function makeRegistry(directory: string, packages: number): Promise<string> {
  const lock: Record<string, object> = {};
  const source = join(directory, "package");
  await mkdir(source, { recursive: true });
  const dependencies: Record<string, string> = {};
  for (let i = 0; i < packages; i++) {
    const manifest = { name: name(i), version: "1.0.0" };
    await writeFile(join(source, "package.json"), JSON.stringify(manifest));
    await writeFile(join(source, "index.js"), `// ${randomBytes(4000).toString("base64")}\n`);
    const place = join(directory, "npm", name(i), "-");
    await mkdir(place, { recursive: true });
    const file = `${name(i)}-1.0.0.tgz`;
    await run("tar", ["-czf", join(place, file), "-C", directory, "package"]);
    const bytes = await readFile(join(place, file));
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const resolved = `http://registry.invalid/${name(i)}/-/${file}`;
    const versions = { "1.0.0": { ...manifest, dist: { integrity, tarball: resolved } } };
    const packument = { name: name(i), "dist-tags": { latest: "1.0.0" }, versions };
    await writeFile(join(directory, "npm", name(i), "index.json"), JSON.stringify(packument));
    lock[`node_modules/${name(i)}`] = { version: "1.0.0", resolved, integrity };
    dependencies[name(i)] = "1.0.0";
  }
  const root = { name: "bench", version: "1.0.0", dependencies };
  const whole = { ...root, lockfileVersion: 3, requires: true, packages: { "": root, ...lock } };
  await writeFile(join(directory, "root.json"), JSON.stringify(root));
  await writeFile(join(directory, "lock.json"), JSON.stringify(whole));
  return join(directory, "npm");
}

/** Seconds of one `npm ci` with nothing in its cache, and a hash of what it installed. */
async function install(
  work: string,
  base: string,
  packages: number,
): Promise<{ seconds: number; hash: string }> {
  const into = await mkdtemp(join(work, "into-"));
  await writeFile(join(into, "package.json"), await readFile(join(work, "root.json")));
  await writeFile(join(into, "package-lock.json"), await readFile(join(work, "lock.json")));
  const calm = ["--no-audit", "--no-fund", "--ignore-scripts", "--cache", join(into, "cache")];
  const from = ["--registry", `${base}/npm/`, "--replace-registry-host", "always"];
  const at = performance.now();
  await run("npm", ["ci", ...from, ...calm], { cwd: into });
  const seconds = (performance.now() - at) / 1000;
  const hash = createHash("sha256");
  for (let i = 0; i < packages; i++)
    hash.update(await readFile(join(into, "node_modules", name(i), "index.js")));
  await rm(into, { recursive: true, force: true });
  return { seconds, hash: hash.digest("hex").slice(0, 16) };
}

/** A cold `npm ci` from a reader on loopback, and through `smalti light`, in turn. */
export async function benchLight({ packages, runs }: Options): Promise<readonly LightRow[]> {
  const work = await mkdtemp(join(tmpdir(), "smalti-light-bench-"));
  const net = await startNet({ writers: 4, readers: 1 });
  try {
    const tree = await makeRegistry(work, packages);
    await net.must("publish", tree, "npm");
    await net.agree(1);
    const reader = net.host("r0").http;
    const ways = ["reader", "smalti light, just started", "smalti light, a second time"] as const;
    const best = new Map<string, { readonly seconds: number; readonly hash: string }>();
    const keep = (way: (typeof ways)[number], one: { seconds: number; hash: string }): void => {
      if (one.seconds < (best.get(way)?.seconds ?? Number.POSITIVE_INFINITY)) best.set(way, one);
    };
    for (let i = 0; i < runs; i++) {
      keep("reader", await install(work, reader, packages));
      const light = await LightProcess.start(net, [reader], { state: join(work, `state-${i}`) });
      try {
        for (const way of ways.slice(1)) keep(way, await install(work, light.url, packages));
      } finally {
        await light.end();
      }
    }
    const reference = best.get("reader")?.seconds ?? Number.NaN;
    return ways.map((through) => {
      const { seconds, hash } = best.get(through) ?? { seconds: Number.NaN, hash: "" };
      return { through, packages, seconds, timesReader: seconds / reference, workHash: hash };
    });
  } finally {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  }
}
