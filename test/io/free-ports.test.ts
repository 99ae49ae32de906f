import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { freePorts } from "../../src/app/setup/index.ts";

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

const isLinux = process.platform === "linux";
test("processes that live at the same time draw from different parts of the range", {
  skip: !isLinux,
}, async (t) => {
  const draw = `const { freePorts } = await import(${JSON.stringify(door)});
    console.log(JSON.stringify(await freePorts(200)));
    for await (const _ of process.stdin);`;
  // So many that chance alone would hardly keep them apart.
  const children = Array.from({ length: 16 }, () =>
    spawn(process.execPath, ["--input-type=module", "-e", draw]),
  );
  t.after(() => {
    for (const child of children) child.kill("SIGKILL");
  });
  const lists = await Promise.all(
    children.map(async (child): Promise<number[]> => {
      for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line);
      return [];
    }),
  );
  assert.equal(new Set(lists.flat()).size, 16 * 200);
});
