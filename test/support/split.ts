import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { SplitsReport } from "../../src/app/gateway/index.ts";
import { createHome, freePorts } from "../../src/app/setup/index.ts";
import { appendVia } from "./load.ts";
import { HostProcess, type Net, type Ran, smalti, until } from "./net.ts";

/** Runs a verb in a host's own home, as its operator does. */
export function operate(host: HostProcess, ...args: string[]): Promise<Ran> {
  return smalti([...args, "--home", host.host.home], { home: host.host.home });
}

/** The same, and it must succeed. */
export async function must(host: HostProcess, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await operate(host, ...args);
  if (code !== 0)
    throw new Error(`${host.host.name}: ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

export async function splitsOf({ http }: HostProcess): Promise<SplitsReport> {
  const response = await fetch(`${http}/.smalti/splits.json`, {
    signal: AbortSignal.timeout(5000),
  });
  return (await response.json()) as SplitsReport;
}

/** Something that waits to be ordered for as long as there is no quorum. */
export function wish(host: HostProcess): void {
  void appendVia(host, "waits").catch(() => undefined);
}

export function pause(hosts: readonly HostProcess[]): void {
  for (const host of hosts) process.kill(host.pid, "SIGSTOP");
}

export function wake(hosts: readonly HostProcess[]): void {
  for (const host of hosts) process.kill(host.pid, "SIGCONT");
}

/** Proposes until it is time to; resolves with the plan's id. */
export async function proposed(host: HostProcess, waitMs = 30_000): Promise<string> {
  let plan = "";
  let last = "";
  await until(
    async () => {
      const ran = await operate(host, "split", "propose", "-o", "json");
      last = ran.stderr;
      if (ran.code === 0) plan = (JSON.parse(ran.stdout) as { plan: string }).plan;
      return ran.code === 0;
    },
    waitMs,
    `${host.host.name} may propose`,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${last}`);
  });
  return plan;
}

/** Waits until these hosts run as members of one group that is not `parent`; resolves with its identity. */
export async function founded(
  hosts: readonly HostProcess[],
  parent: string,
  waitMs = 20_000,
): Promise<string> {
  let groups: string[] = [];
  await until(
    async () => {
      const states = await Promise.all(hosts.map((host) => host.tryStatus()));
      groups = states.map((one) => one?.group ?? "");
      return groups.every((group) => group !== "" && group !== parent && group === groups[0]);
    },
    waitMs,
    `${hosts.map(({ host }) => host.name).join(" and ")} are a group`,
  );
  return groups[0] ?? "";
}

/** A reader with an empty home, and the genesis of another host. */
export async function freshReader(net: Net, name: string, like: HostProcess): Promise<HostProcess> {
  const home = join(net.directory, name);
  const [http, admin] = await freePorts(2);
  await createHome(home, {
    version: 1,
    moniker: name,
    role: "reader",
    http: { listen: `127.0.0.1:${http}` },
    admin: { listen: `127.0.0.1:${admin}` },
  });
  const genesis = join("config", "genesis.json");
  await copyFile(join(like.host.home, genesis), join(home, genesis));
  return new HostProcess({
    name,
    role: "reader",
    home,
    http: `http://127.0.0.1:${http}`,
    admin: `http://127.0.0.1:${admin}`,
  });
}
