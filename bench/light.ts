import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { aptBelow } from "../test/support/apt.ts";
import { LightProcess } from "../test/support/light.ts";
import { type Net, startNet } from "../test/support/net.ts";
import { needTools } from "../test/support/tools.ts";

const run = promisify(execFile);

/** A cold run of a client by one of the ways, and how much longer than straight from a reader. */
export interface LightRow {
  readonly through: string;
  readonly packages: number;
  /** The best of the runs; the client has nothing in its cache, and the proxy is started anew for each. */
  readonly seconds: number;
  readonly timesReader: number;
  readonly workHash: string;
}

interface Ran {
  readonly seconds: number;
  /** Of all that came. */
  readonly hash: string;
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
async function install(work: string, base: string, packages: number): Promise<Ran> {
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

/** Debian packages of a few kilobytes, and an archive that names them all; signed by nobody. */
async function makeArchive(directory: string, packages: number): Promise<string> {
  const tree = join(directory, "debian");
  const pool = join(tree, "pool");
  await mkdir(pool, { recursive: true });
  for (let i = 0; i < packages; i++) {
    const build = join(directory, "deb");
    await mkdir(join(build, "DEBIAN"), { recursive: true, mode: 0o755 });
    const about = `Package: ${name(i)}\nVersion: 1.0\nArchitecture: all\nMaintainer: b <b@example.invalid>\nDescription: b\n`;
    await writeFile(join(build, "DEBIAN", "control"), about);
    await writeFile(join(build, "content"), randomBytes(20_000));
    await run("dpkg-deb", [
      "--build",
      "--root-owner-group",
      build,
      join(pool, `${name(i)}_1.0_all.deb`),
    ]);
  }
  const index = join(tree, "dists/stable/main/binary-all");
  await mkdir(index, { recursive: true });
  const listed = await run("apt-ftparchive", ["packages", "pool"], {
    cwd: tree,
    maxBuffer: 1 << 26,
  });
  await writeFile(join(index, "Packages"), listed.stdout);
  const of = "APT::FTPArchive::Release::";
  const flags = ["Suite=stable", "Components=main", "Architectures=all amd64"];
  const args = flags.flatMap((flag) => ["-o", `${of}${flag}`]);
  const release = await run("apt-ftparchive", [...args, "release", "dists/stable"], { cwd: tree });
  await writeFile(join(tree, "dists/stable/Release"), release.stdout);
  return tree;
}

/** Seconds of one `apt-get update` and the download of all packages, with nothing in its cache. */
async function download(work: string, base: string, packages: number): Promise<Ran> {
  const into = await mkdtemp(join(work, "into-"));
  const flags = await aptBelow(into, `deb [trusted=yes] ${base}/debian stable main`);
  const wanted = Array.from({ length: packages }, (_, i) => name(i));
  const at = performance.now();
  await run("apt-get", [...flags, "update"]);
  await run("apt-get", [...flags, "download", ...wanted], { cwd: join(into, "out") });
  const seconds = (performance.now() - at) / 1000;
  const hash = createHash("sha256");
  for (const one of wanted) hash.update(await readFile(join(into, "out", `${one}_1.0_all.deb`)));
  await rm(into, { recursive: true, force: true });
  return { seconds, hash: hash.digest("hex").slice(0, 16) };
}

interface Client {
  readonly name: string;
  readonly tree: string;
  readonly packages: number;
  readonly make: typeof makeRegistry;
  readonly run: typeof install;
}

/** A cold `npm ci`, and a cold `apt-get update` and `download`, from a reader on loopback and through the proxy. */
export async function benchLight({ packages, runs }: Options): Promise<readonly LightRow[]> {
  needTools("apt-ftparchive", "dpkg-deb");
  const sixth = Math.max(2, Math.floor(packages / 6));
  const clients: readonly Client[] = [
    { name: "npm ci", tree: "npm", packages, make: makeRegistry, run: install },
    { name: "apt-get", tree: "debian", packages: sixth, make: makeArchive, run: download },
  ];
  const work = await mkdtemp(join(tmpdir(), "smalti-light-bench-"));
  const net = await startNet({ writers: 4, readers: 1 });
  try {
    for (const client of clients)
      await net.must("publish", await client.make(work, client.packages), client.tree);
    await net.agree(clients.length);
    const rows: LightRow[] = [];
    for (const client of clients) rows.push(...(await compared(client, { net, work, runs })));
    return rows;
  } finally {
    await net.stop();
    await rm(work, { recursive: true, force: true });
  }
}

/** One client by each way, in turn. */
async function compared(
  client: Client,
  { net, work, runs }: { readonly net: Net; readonly work: string; readonly runs: number },
): Promise<readonly LightRow[]> {
  const { packages } = client;
  const reader = net.host("r0").http;
  const ways = ["reader", "smalti light, just started", "smalti light, a second time"] as const;
  const best = new Map<string, Ran>();
  const keep = (way: (typeof ways)[number], one: Ran): void => {
    if (one.seconds < (best.get(way)?.seconds ?? Number.POSITIVE_INFINITY)) best.set(way, one);
  };
  for (let i = 0; i < runs; i++) {
    keep("reader", await client.run(work, reader, packages));
    const state = await mkdtemp(join(work, "state-"));
    const light = await LightProcess.start(net, [reader], { state });
    try {
      for (const way of ways.slice(1)) keep(way, await client.run(work, light.url, packages));
    } finally {
      await light.end();
    }
  }
  const reference = best.get("reader")?.seconds ?? Number.NaN;
  return ways.map((way) => {
    const { seconds, hash } = best.get(way) ?? { seconds: Number.NaN, hash: "" };
    const through = `${client.name}: ${way}`;
    return { through, packages, seconds, timesReader: seconds / reference, workHash: hash };
  });
}
