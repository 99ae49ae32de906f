import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { askJson } from "../app/client/index.ts";
import { loadConfig } from "../app/config/index.ts";
import type { HostStatus } from "../app/gateway/index.ts";
import {
  type CommonOptions,
  homeDirectory,
  serversOf,
  trustOf,
  withOutput,
  withTrust,
} from "./context.ts";
import { exitCodes, sayJson, sayTable } from "./output.ts";

/** `smalti status`: hosts side by side. */
export function statusCommand(program: Command): void {
  withOutput(withTrust(program.command("status").description("height, root and links of hosts")))
    .option("--watch", "again every second")
    .action(async (options: CommonOptions & { watch?: boolean }) => {
      const servers = await serversToShow(options);
      for (;;) {
        const rows = await Promise.all(servers.map(statusRow));
        if (options.output === "json")
          sayJson(rows.map(({ server, status, error }) => ({ ...(status ?? { error }), server })));
        else showStatus(rows, options.watch === true);
        if (options.watch !== true) {
          if (rows.some((row) => row.status === undefined)) process.exitCode = exitCodes.incomplete;
          return;
        }
        await sleep(1000);
      }
    });
}

/** The servers that are named; else the writers, and what else has its home here. */
async function serversToShow(options: CommonOptions): Promise<readonly string[]> {
  const servers = serversOf(options, await trustOf(options));
  if (options.from !== undefined) return servers;
  return [...new Set([...servers, ...(await hostsBelow(options))])];
}

/** Of a home that holds the homes of several hosts, as a testnet's does: where all of them serve. */
async function hostsBelow(options: CommonOptions): Promise<readonly string[]> {
  const home = homeDirectory(options);
  const names = await readdir(home).catch(() => []);
  const configs = await Promise.all(
    names.sort().map((name) => loadConfig(join(home, name)).catch(() => undefined)),
  );
  return configs.flatMap((config) =>
    config === undefined ? [] : [`http://${config.http.listen}`],
  );
}

interface StatusRow {
  readonly server: string;
  readonly status: HostStatus | undefined;
  readonly error: string | undefined;
}

async function statusRow(server: string): Promise<StatusRow> {
  try {
    const json = await askJson<unknown>(`${server}/.smalti/status.json`, { patienceMs: 3000 });
    return isStatus(json)
      ? { server, status: json, error: undefined }
      : { server, status: undefined, error: "the answer is no status" };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return { server, status: undefined, error: cause?.code ?? (error as Error).message };
  }
}

/** What a table shows of a status, in the types that it needs: servers may say anything. */
function isStatus(json: unknown): json is HostStatus {
  if (typeof json !== "object" || json === null) return false;
  const { moniker, role, stateDigest, peers, height, commit, note: remark } = json as HostStatus;
  const texts: readonly unknown[] = [
    moniker,
    role,
    stateDigest,
    ...(Array.isArray(peers) ? peers : [0]),
  ];
  return (
    texts.every((text) => typeof text === "string") &&
    [height, commit].every((count) => typeof count === "number") &&
    (remark === undefined || typeof remark === "string")
  );
}

function showStatus(rows: readonly StatusRow[], isWatch: boolean): void {
  if (isWatch && process.stdout.isTTY) process.stdout.write("\u001b[2J\u001b[H");
  sayTable(
    ["host", "role", "height", "state", "commit", "round", "links", "thinks", "note"],
    rows.map(({ server, status, error }) => {
      if (status === undefined)
        return [server, "", "", "", "", "", "", "", pc.red(error ?? "no answer")];
      const { moniker, role, height, stateDigest, commit, round, peers } = status;
      const remark = status.note ?? (status.isSigning === false ? "not signing" : "");
      return [
        moniker,
        role,
        String(height),
        stateDigest.slice(0, 16),
        String(commit),
        String(round ?? ""),
        peers.join(" "),
        thoughts(status.opinions),
        remark,
      ];
    }),
  );
}

/** A row of the matrix of opinions: whom this host does not think well of. */
function thoughts(opinions: HostStatus["opinions"]): string {
  if (typeof opinions !== "object" || opinions === null) return "";
  const odd = Object.entries(opinions).filter(([, opinion]) => opinion !== "ok");
  if (odd.length === 0) return pc.green("all ok");
  return odd.map(([about, opinion]) => pc.yellow(`${about} ${String(opinion)}`)).join(", ");
}
