import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openSource } from "../../src/app/import/index.ts";
import { isInside } from "../../src/app/import/reach.ts";

describe("where an import may go", () => {
  const servers: Server[] = [];
  let work: string;
  let secrets: string;
  let source: string;
  let asked = 0;

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  before(async () => {
    work = await mkdtemp(join(tmpdir(), "smalti-reach-"));
    secrets = await serve((_, response) => {
      asked++;
      response.end("secret");
    });
    const { port } = new URL(secrets);
    const elsewhere: Readonly<Record<string, string>> = {
      "/address": secrets,
      "/name": `http://localhost:${port}`,
      "/v6": `http://[::ffff:127.0.0.1]:${port}`,
      "/decimal": `http://2130706433:${port}`,
    };
    source = await serve((request, response) => {
      const [, top = ""] = (request.url ?? "").split("/");
      const place = elsewhere[`/${top}`];
      if (place === undefined) return void response.writeHead(404).end();
      if (request.url === `/${top}/`)
        return void response.setHeader("content-type", "text/html").end('<a href="file">file</a>');
      response.writeHead(302, { location: `${place}/metrics` }).end();
    });
  });
  after(async () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    await rm(work, { recursive: true, force: true });
  });

  for (const name of ["address", "name", "v6", "decimal"])
    test(`a redirect to this machine is not followed: ${name}`, async () => {
      const http = await openSource({ kind: "http", url: `${source}/${name}` });
      await assert.rejects(
        http.bring(join(work, name), {}),
        /within this network; if it may: --also/,
      );
      assert.equal(asked, 0);
    });

  test("where the operator says that it may, it is", async () => {
    const http = await openSource({ kind: "http", url: `${source}/address`, also: [secrets] });
    const directory = await http.bring(join(work, "also"), {});
    assert.equal(await readFile(join(directory, "file"), "utf8"), "secret");
    assert.ok(asked > 0);
  });

  test("addresses within a network or a machine, in every form", () => {
    const ins =
      "127.0.0.1 127.9.9.9 0.0.0.0 10.1.2.3 172.31.0.1 192.168.0.1 169.254.169.254 100.64.0.1 255.255.255.255 224.0.0.1 ::1 :: fe80::1 fd00::1 ::ffff:10.0.0.1 ::ffff:7f00:1 64:ff9b::a00:1 2002:7f00:1:: ff02::1";
    for (const address of ins.split(" ")) assert.ok(isInside(address), address);
    const outs = "1.1.1.1 172.32.0.1 192.169.0.1 100.128.0.1 11.0.0.1 2606:4700::1111 2a00::1";
    for (const address of outs.split(" ")) assert.ok(!isInside(address), address);
    assert.ok(!isInside("localhost"), "names are looked at once they are resolved");
  });
});
