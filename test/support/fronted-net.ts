import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { homeOf } from "../../src/app/config/index.ts";
import { createTestnet } from "../../src/app/setup/index.ts";
import type { Signer } from "../../src/core/crypto/index.ts";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { HostileServer } from "./hostile-server.ts";
import { type HostProcess, Net, until } from "./net.ts";

/**
 * Four writers, of which w0 is fronted: what it says over HTTP, to clients, readers and the other writers alike, goes
 * through `liar`. Its links are its own. Readers r0 (follows the liar and w1) and r1 (follows the liar alone) are there
 * to be started.
 */
export interface FrontedNet {
  readonly net: Net;
  readonly liar: HostileServer;
  readonly honest: readonly HostProcess[];
  /** The key with which a writer signs checkpoints. */
  cosignKey(writer: number): Promise<Signer>;
  /** Starts a reader without anything that it had. */
  fresh(reader: string): Promise<HostProcess>;
  stop(): Promise<void>;
}

export async function startFronted(): Promise<FrontedNet> {
  const directory = await mkdtemp(join(tmpdir(), "smalti-net-"));
  // The port of a reader that is never started is w0's own.
  const testnet = await createTestnet({ directory, writers: 4, readers: 3, logLevel: "warn" });
  const net = new Net(testnet, directory);
  const [w0, spare] = [net.host("w0"), net.host("r2")];
  const liar = await HostileServer.open(spare.http, Number(new URL(w0.http).port));
  const config = homeOf(w0.host.home).configFile;
  const moved = (await readFile(config, "utf8")).replace(hostOf(w0.http), hostOf(spare.http));
  await writeFile(config, moved);
  const follow = (reader: string, urls: readonly string[]): Promise<void> =>
    appendFile(
      homeOf(net.host(reader).host.home).configFile,
      `\n[sync]\nfrom = ${JSON.stringify(urls)}\n`,
    );
  await follow("r0", [liar.url, net.host("w1").http]);
  await follow("r1", [liar.url]);
  const stop = async (): Promise<void> => {
    await net.stop();
    await liar.close();
  };
  try {
    await Promise.all(net.writers.map((writer) => writer.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  const honest = ["w1", "w2", "w3"].map((name) => net.host(name));
  const cosignKey = async (writer: number): Promise<Signer> => {
    const keys = homeOf(net.host(`w${writer}`).host.home).keysDirectory;
    return (await loadKeyFile(join(keys, "cosign.json"), "cosign")).signer;
  };
  const fresh = async (name: string): Promise<HostProcess> => {
    const reader = net.host(name);
    await reader.end("SIGKILL");
    await rm(homeOf(reader.host.home).dataDirectory, { recursive: true, force: true });
    await reader.start();
    return reader;
  };
  return { net, liar, honest, cosignKey, fresh, stop };
}

function hostOf(url: string): string {
  return new URL(url).host;
}

/** Waits until all of `hosts` serve a height, and returns what they say their states are. */
export async function reach(
  hosts: readonly HostProcess[],
  height: number,
): Promise<ReadonlySet<string>> {
  const there = async (host: HostProcess): Promise<boolean> =>
    (await host.status()).height >= height;
  for (const host of hosts)
    await until(() => there(host), 15_000, `${host.host.name} serves height ${height}`);
  const states = await Promise.all(hosts.map((host) => host.status()));
  return new Set(states.map(({ stateDigest }) => stateDigest));
}
