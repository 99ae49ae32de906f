import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../../src/app/config/index.ts";
import { configureServer, listenOn } from "../../src/app/gateway/index.ts";

async function addressSeen(proxies: readonly string[], forwarded: string): Promise<string> {
  const server = configureServer(proxies);
  server.get("/ip", async (request) => request.ip);
  const port = await listenOn(server, { host: "127.0.0.1", port: 0 });
  try {
    const headers = { "x-forwarded-for": forwarded };
    return await (await fetch(`http://127.0.0.1:${port}/ip`, { headers })).text();
  } finally {
    await server.close();
  }
}

test("where a client is, says the connection; a proxy that the operator named says it for its clients", async () => {
  assert.equal(await addressSeen([], "203.0.113.7"), "127.0.0.1");
  assert.equal(await addressSeen(["10.0.0.0/8"], "203.0.113.7"), "127.0.0.1");
  assert.equal(await addressSeen(["127.0.0.1"], "203.0.113.7"), "203.0.113.7");
  // What a client itself wrote before the proxy's word does not count.
  assert.equal(await addressSeen(["127.0.0.0/8"], "192.0.2.1, 203.0.113.7"), "203.0.113.7");
});

test("proxies are addresses and networks", () => {
  const read = (proxy: string): unknown =>
    parseConfig(`version = 1\nrole = "reader"\n[http]\nproxies = ["${proxy}"]\n`, "test.toml");
  for (const right of ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"]) read(right);
  for (const wrong of ["proxy.example", "10.0.0.0/33", "10.0.0.0/8/8", "::1/129", "", "1.2.3.4/"])
    assert.throws(() => read(wrong), /address or a network/, wrong);
});
