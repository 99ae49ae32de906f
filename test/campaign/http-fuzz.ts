import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { HttpFuzzer } from "../support/http-fuzz.ts";
import { startNet } from "../support/net.ts";
import { publisherOf } from "../support/publisher.ts";
import { fetchRaw, rssMiB } from "../support/raw-http.ts";

/**
 * Fuzzes all that anybody can ask a writer and a reader over HTTP: npm run fuzz -- http [--seconds 60] [--seed N] [--requests N]
 * A fault is printed with the command that repeats it.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    requests: { type: "string" },
  },
});
const seed = Number(values.seed);
const most = values.requests === undefined ? Number.POSITIVE_INFINITY : Number(values.requests);
const net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
try {
  const directory = join(net.directory, "fuzzed");
  await mkdir(join(directory, "sub"), { recursive: true });
  await writeFile(join(directory, "file.txt"), "content\n");
  await writeFile(join(directory, "sub/large"), Buffer.alloc(700_000, "large"));
  await net.agree(await (await publisherOf(net)).publish(directory, "demo"));
  const hosts = [net.host("w0"), net.host("r0")];
  const listed = await fetchRaw(hosts[0]?.http ?? "", "/.smalti/v1/heights");
  const digests = [...new Set(listed.body.toString().match(/[0-9a-f]{64}/g) ?? [])];
  const paths = ["/demo/file.txt", "/demo/sub/large", "/demo/sub", "/demo", "/none/x"];
  const fuzzer = new HttpFuzzer(seed, { paths, digests });
  const endMs = performance.now() + Number(values.seconds) * 1000;
  let [requests, faults] = [0, 0];
  for (; requests < most && performance.now() < endMs && faults < 5; requests++) {
    const host = hosts[requests % hosts.length];
    if (host === undefined) break;
    const fault = await fuzzer.once(host.http);
    const why = host.isRunning ? fault?.why : `the host has ended:\n${host.log.slice(-2000)}`;
    if (why === undefined) continue;
    faults++;
    process.stdout.write(
      `FAULT of ${host.host.name}, request ${requests}: ${why}\n  ${fault?.request ?? "?"}\n  repeat: npm run fuzz -- http --seed ${seed} --requests ${requests + 1} --seconds 3600\n`,
    );
    if (!host.isRunning) break;
  }
  const memory = await Promise.all(hosts.map(({ pid }) => rssMiB(pid)));
  process.stdout.write(
    `seed ${seed}: ${requests} requests, ${faults} faults; ${memory.map(Math.round).join(" and ")} MiB\n`,
  );
  if (faults > 0) process.exitCode = 1;
} finally {
  await net.stop();
}
