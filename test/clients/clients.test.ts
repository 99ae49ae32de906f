import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Ecosystem, Got } from "../support/ecosystem.ts";
import { ecosystems } from "../support/ecosystems.ts";
import { FaultyMirror, type MirrorFault, mirrorFaults } from "../support/faulty-mirror.ts";
import { LightProcess } from "../support/light.ts";
import { type Net, startNet } from "../support/net.ts";
import { needTools } from "../support/tools.ts";

const table = fileURLToPath(new URL("../../../docs/guides/clients.md", import.meta.url));

type Row = Record<MirrorFault, { direct: Got; light: Got }>;

/** What each client does by itself, and that behind `smalti light` it gets the right bytes from the same mirrors. */
describe("real, unmodified clients", () => {
  let net: Net;
  let work: string;
  const rows = new Map<string, Row>();
  const mirrors = new Map<MirrorFault, FaultyMirror>();
  const lights = new Map<MirrorFault, LightProcess>();

  before(async () => {
    needTools(...new Set([...ecosystems.values()].flatMap(({ tools }) => tools)));
    work = await mkdtemp(join(tmpdir(), "smalti-clients-"));
    net = await startNet({ writers: 4, readers: 1 });
    for (const generation of [1, 2] as const) {
      for (const [tree, ecosystem] of ecosystems) {
        await mkdir(join(work, tree, tree), { recursive: true });
        await ecosystem.make(join(work, tree, tree), generation);
      }
      for (const tree of ecosystems.keys()) await net.must("publish", join(work, tree, tree), tree);
    }
    await net.agree(2 * ecosystems.size);
    const reader = net.host("r0").http;
    for (const fault of mirrorFaults) {
      const mirror = await FaultyMirror.open(reader);
      // The trees' first generation is whole once the last of them was published.
      mirror.staleAt = ecosystems.size;
      mirrors.set(fault, mirror);
      mirror.fault = fault;
      const light = await LightProcess.start(net, [mirror.url, reader], {
        state: join(work, `light-${fault}`),
      });
      lights.set(fault, light);
    }
  });
  after(async () => {
    for (const light of lights.values()) await light.end();
    for (const mirror of mirrors.values()) await mirror.close();
    await net.stop();
    await rm(work, { recursive: true, force: true });
  });

  async function fetched(tree: string, ecosystem: Ecosystem, base: string): Promise<Got> {
    const into = await mkdtemp(join(work, tree, "into-"));
    // OCI clients ask for /v2/ themselves.
    return ecosystem.fetch(tree === "v2" ? base : `${base}/${tree}`, into);
  }

  for (const [tree, ecosystem] of ecosystems)
    test(`${ecosystem.name}: right bytes through light, whatever the first mirror does`, async () => {
      const row = {} as Row;
      const one = async (fault: MirrorFault): Promise<void> => {
        const [mirror, light] = [mirrors.get(fault), lights.get(fault)];
        assert.ok(mirror && light);
        const direct = await fetched(tree, ecosystem, mirror.url);
        row[fault] = { direct, light: await fetched(tree, ecosystem, light.url) };
      };
      // Those that only wait do so beside the others.
      const slow = one("slow");
      for (const fault of mirrorFaults) if (fault !== "slow") await one(fault);
      await slow;
      rows.set(tree, row);
      for (const fault of mirrorFaults)
        assert.equal(
          row[fault].light,
          "new",
          `${fault} first mirror, through light: ${JSON.stringify(row)}`,
        );
      assert.equal(row.honest.direct, "new");
      // What is asked for by its content's name is not there, or it is whole, and old.
      assert.equal(row.stale.direct, tree === "nix" ? "refused" : "old");
      for (const fault of ["truncated", "slow", "dead"] as const)
        assert.notEqual(row[fault].direct, "new", fault);
    });

  test("docs/guides/clients.md is what was seen", async () => {
    const page = pageOf(rows);
    if (process.env["UPDATE"] !== undefined) await writeFile(table, page);
    assert.equal(
      await readFile(table, "utf8"),
      page,
      "make it anew with: UPDATE=1 npm run test:clients",
    );
  });
});

const words: Readonly<Record<Got, string>> = {
  new: "right bytes",
  old: "**old bytes**, unnoticed",
  refused: "refused by the client",
  wrong: "**wrong bytes**, unnoticed",
};

function pageOf(rows: ReadonlyMap<string, Row>): string {
  const head = [
    "client",
    ...mirrorFaults.map((fault) => `${fault} mirror`),
    "any of them, through `smalti light`",
  ];
  const lines = [...ecosystems].map(([tree, { name }]) => {
    const row = rows.get(tree);
    const isRight = row !== undefined && mirrorFaults.every((fault) => row[fault].light === "new");
    const direct = mirrorFaults.map((fault) =>
      row === undefined ? "?" : words[row[fault].direct],
    );
    return `| ${[name, ...direct, isRight ? "right bytes" : "**not right**"].join(" | ")} |`;
  });
  const how = [...ecosystems.values()].map(
    ({ name, lines: typed }) => `| ${name} | \`${typed}\` |`,
  );
  return `# Real clients, and mirrors that fail

Made by \`npm run test:clients\` from runs of the unmodified clients; the test compares this page with what it sees. The archive has two generations, and everybody asks for the newest. The mirror stands between the client and an honest reader: *corrupt* flips a bit in the middle of every answer, *stale* serves the first generation as it was, whole, *truncated* breaks off half-way, *slow* sends a byte a second, *dead* does not listen. Through \`smalti light\` that mirror is the first of two; the second is honest.

| ${head.join(" | ")} |
|${head.map(() => "---").join("|")}|
${lines.join("\n")}

**No client that asks for the newest notices an old state**: it is whole, and was once true. Signed expiry dates (apt: \`Valid-Until\`) bound its age where an archive has them. \`curl\` and \`wget\` check nothing at all, and pip nothing where its index gives no hashes; what is checked against an index that came from the same mirror protects against accidents, not against a mirror that lies in both. npm believes any packument. Behind \`smalti light\` none of this matters: every byte was verified down from what 2f+1 writers signed.

## What to type

\`URL\` is a reader's, or \`http://127.0.0.1:8888\` with \`smalti light\` running. The first path element is the tree.

| client | |
|---|---|
${how.join("\n")}
`;
}
