import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { freePorts } from "../../src/app/setup/index.ts";

const run = promisify(execFile);
const door = new URL("../../src/app/setup/index.js", import.meta.url);

test("different ports each time, on which nobody listens", async () => {
  const found = await freePorts(100);
  found.push(...(await freePorts(100)));
  assert.equal(new Set(found).size, 200);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(found[0], "127.0.0.1", resolve));
  for (let i = 0; i < 20; i++) assert.ok(!(await freePorts(100)).includes(found[0] ?? 0));
  await new Promise((resolve) => server.close(resolve));
});

test("processes that live at the same time draw from different parts of the range", async () => {
  const draw = `const { freePorts } = await import(${JSON.stringify(door)});
    const ports = await freePorts(200);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    console.log(JSON.stringify(ports));`;
  const lists = await Promise.all(
    Array.from({ length: 6 }, () => run(process.execPath, ["--input-type=module", "-e", draw])),
  );
  const all = lists.flatMap(({ stdout }) => JSON.parse(stdout) as number[]);
  assert.equal(new Set(all).size, 6 * 200);
});
