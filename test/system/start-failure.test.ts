import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createTestnet } from "../../src/app/setup/index.ts";
import { HostProcess } from "../support/net.ts";

test("a host that cannot start ends: it does not serve on with half of itself", async () => {
  const directory = await mkdtemp(join(tmpdir(), "smalti-start-"));
  const { hosts } = await createTestnet({ directory, writers: 4, readers: 0 });
  const [first] = hosts;
  assert.ok(first !== undefined);
  const taken = createServer();
  await new Promise<void>((done) =>
    taken.listen(Number(new URL(first.admin).port), "127.0.0.1", done),
  );
  const host = new HostProcess(first);
  try {
    host.spawn();
    const code = await Promise.race([host.exited(), sleep(8000, "it runs on", { ref: false })]);
    assert.equal(typeof code, "number", `${code}: ${host.log.slice(-300)}`);
    assert.notEqual(code, 0);
  } finally {
    await host.end("SIGKILL");
    await new Promise((done) => taken.close(done));
    await rm(directory, { recursive: true, force: true });
  }
});
