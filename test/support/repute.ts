import { appendFile, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ConvictionRow, EvidenceRow, OpinionsReport } from "../../src/app/gateway/index.ts";
import { createTestnet, type TestnetOptions } from "../../src/app/setup/index.ts";
import { type HostProcess, Net, until } from "./net.ts";

const configOf = ({ host }: HostProcess): string => join(host.home, "config", "config.toml");

/** A network whose hosts' configs are added to before they start. */
export async function startTuned(
  options: Omit<TestnetOptions, "directory">,
  addTo: (host: HostProcess, net: Net) => string,
): Promise<Net> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-net-"));
  const net = new Net(await createTestnet({ ...options, directory }), directory);
  try {
    for (const host of net.hosts.values()) await appendFile(configOf(host), addTo(host, net));
    await Promise.all([...net.hosts.values()].map((host) => host.start()));
  } catch (error) {
    await net.stop();
    throw error;
  }
  return net;
}

/** What the host does from its next start on. */
export async function setLie(host: HostProcess, lie: string): Promise<void> {
  const text = await readFile(configOf(host), "utf8");
  await writeFile(configOf(host), text.replace(/lie = "\w+"/, `lie = "${lie}"`));
}

async function jsonOf<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export function opinionsOf({ http }: HostProcess): Promise<OpinionsReport> {
  return jsonOf(`${http}/.smalti/opinions.json`);
}

export async function evidenceOf({ http }: HostProcess): Promise<readonly EvidenceRow[]> {
  const { evidence } = await jsonOf<{ evidence: EvidenceRow[] }>(`${http}/.smalti/evidence`);
  return evidence;
}

/** The conviction of a host, by name or by key, as another one has it. */
export async function convictionAt(
  at: HostProcess,
  about: string,
): Promise<ConvictionRow | undefined> {
  const { convicted } = await opinionsOf(at);
  return convicted.find(({ host, key }) => host === about || key === about);
}

/** Waits until all of these hosts have a conviction that counts. */
export async function convictedAt(
  hosts: readonly HostProcess[],
  about: string,
  waitMs = 20_000,
): Promise<readonly ConvictionRow[]> {
  const rows: ConvictionRow[] = [];
  for (const at of hosts) {
    await until(
      async () => (await convictionAt(at, about))?.pardon === "",
      waitMs,
      `${at.host.name} has a proof against ${about}`,
    );
    const row = await convictionAt(at, about);
    if (row !== undefined) rows.push(row);
  }
  return rows;
}

/** Waits until no host commits any more. */
export async function isQuiet(hosts: readonly HostProcess[], forMs = 1500): Promise<void> {
  let last = "";
  let sinceMs = Date.now();
  const commits = async (): Promise<boolean> => {
    const states = await Promise.all(hosts.map((host) => host.status()));
    const now = states.map(({ commit, round }) => `${commit}/${round}`).join(" ");
    if (now !== last) sinceMs = Date.now();
    last = now;
    return Date.now() > sinceMs + forMs;
  };
  await until(commits, 30_000, "the network is quiet");
}

/** Publishes a directory with these files only, and waits until all running hosts have it. */
export async function publishFiles(
  net: Net,
  tree: string,
  files: Readonly<Record<string, string>>,
): Promise<number> {
  const directory = await mkdtemp(join(net.directory, "source-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  const told = await net.must("publish", directory, tree, "-o", "json");
  const { height } = JSON.parse(told) as { height: number };
  return height;
}
