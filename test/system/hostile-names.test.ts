import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { verbRooms } from "../../src/cli/verbs.ts";
import { signPolicy } from "../../src/core/mirror/index.ts";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { HostileServer } from "../support/hostile-server.ts";
import { type Net, startNet, until } from "../support/net.ts";
import { type Publisher, publisherOf } from "../support/publisher.ts";

const esc = String.fromCharCode(27);
/** The first character that conceals, moves the cursor, turns the direction of text, or stands for nothing. */
function unseenIn(text: string): string | undefined {
  for (const [found] of text.matchAll(/[\p{Cc}\p{Cf}]/gu))
    if (!"\n\t\u200c\u200d".includes(found)) return found;
  return undefined;
}

const script = "<script>alert(1)<";
/** Names that a tree can have. */
const names = [
  "file\u202egnp.exe",
  "zero\u200bwidth.txt",
  `${script}.txt`,
  "q\"uo'te&.txt",
  "tag\u{e0041}.txt",
  "\u2066isolated.txt",
];
/** What names things that is not bound by the rules of paths. */
const wild = `evil${esc}[31m${esc}]0;title\u0007\u202e\u200b${script}`;

/** Verbs that show nothing of others, or do not end. */
const others = ["testnet", "init", "genesis", "start", "simulate", "light"];

describe("whoever names things cannot speak to a terminal or to a page", () => {
  let net: Net;
  let work: string;
  let publisher: Publisher;
  let hostile: HostileServer;

  before(async () => {
    net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
    work = await mkdtemp(join(tmpdir(), "smalti-names-"));
    publisher = await publisherOf(net);
    const source = join(work, "source");
    await mkdir(join(source, "dir\u202e"), { recursive: true });
    for (const name of names) await writeFile(join(source, name), name);
    await writeFile(join(source, "dir\u202e", "inner"), "inner");
    await publisher.publish(source, "names");
    await writeFile(join(source, "more\u202e"), "more");
    await publisher.publish(source, "names");
    // An administrator's own program may name publishers as it likes.
    const key = await loadKeyFile(
      join(net.directory, "keys", "administrator.json"),
      "administrator",
    );
    const record = {
      group: publisher.trust.network.group,
      administrator: key.publicKey,
      version: 0,
      publisher: publisher.key.publicKey,
      name: wild.slice(0, 60),
      trees: ["*"],
    };
    const body = signPolicy(record, key.signer).wire;
    const headers = { "content-type": "application/octet-stream" };
    const sent = await fetch(`${net.host("w0").http}/.smalti/v1/policy`, {
      method: "POST",
      headers,
      body,
    });
    assert.equal(sent.status, 200, await sent.text());
    // An update that says that it comes from a wild place.
    const change = { path: "more\u202e", leaf: undefined, expect: "anything" } as const;
    const list = { tree: "names", baseHeight: 0, changes: [change] };
    const from = { kind: "wild", url: `http://${wild}`, observers: 0 };
    const { update, bytes } = publisher.sign(list, { source: from });
    const at = `${net.host("w0").http}/.smalti/v1/updates`;
    const steps: readonly (readonly [string, RequestInit])[] = [
      [at, { method: "POST", headers, body: update.wire }],
      [
        `${at}/${update.id}/changes`,
        {
          method: "PUT",
          headers: { "content-type": "application/vnd.smalti.stream" },
          body: bytes,
        },
      ],
      [`${at}/${update.id}/submit`, { method: "POST" }],
    ];
    for (const [url, request] of steps) {
      const answer = await fetch(url, request);
      assert.equal(answer.status, 200, await answer.text());
    }
    // No writer looks at that place: it stays open, and is told of.
    await net.agree(3);
    hostile = await HostileServer.open(net.host("r0").http);
    hostile.trick = (_, response) => {
      response.writeHead(500, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ error: { code: wild, detail: wild }, code: wild, detail: wild }),
      );
      return true;
    };
  });
  after(async () => {
    await hostile?.close();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Each verb with what makes it show names of others. */
  function calls(): readonly (readonly string[])[] {
    const source = join(work, "source");
    const proof = join(work, "proof");
    const home = ["--home", net.host("w0").host.home];
    return [
      ["status"],
      ["config", "show", ...home],
      ["keys", "ls", ...home],
      ["show-node-id", ...home],
      ["publish", source, "names", "--dry-run", "--delete"],
      ["publish", source, wild],
      ["publisher", "ls"],
      ["import", "dir", source, "names", "--dry-run"],
      ["import", "http", `${net.host("r0").http}/names/`, "again"],
      ["ls"],
      ["ls", "names"],
      ["ls", "names/dir\u202e"],
      ["ls", wild],
      ["cat", `names/${wild}`],
      ["get", "names", join(work, "got")],
      ["log"],
      ["log", "names"],
      ["diff", "names", "1"],
      ["verify", join(work, "got"), "names"],
      ["audit", net.host("r0").http, "--full"],
      ["audit", `http://${wild}`],
      ["snapshot", "create", "one\u202e"],
      ["snapshot", "ls"],
      ["fsck", ...home],
      ["gc", "--dry-run", ...home],
      ["proof", "make", `names/${names[0]}`, "--out", proof],
      ["proof", "show", proof],
      ["proof", "check", proof],
      ["opinion", "ls"],
      ["opinion", "explain", wild],
      ["evidence", "ls"],
      ["evidence", "show", wild],
      ["split", "show"],
      [wild],
    ];
  }

  /** Asked as it is; as JSON what tells most of others; and of a hostile server what asks servers at all. */
  function variantsOf(args: readonly string[]): readonly (readonly string[])[] {
    const isTelling = ["ls", "log", "publisher", "status", "opinion", "audit"].includes(
      args[0] ?? "",
    );
    return [
      [],
      ...(isTelling ? [["-o", "json"]] : []),
      ...(args.includes("--home") ? [] : [["--from", hostile.url]]),
    ];
  }

  test("every verb, asking honest hosts and one that answers with names of its own", async () => {
    const shown = new Map<string, string>();
    for (const args of calls())
      for (const more of variantsOf(args)) {
        if (
          args[0] !== "ls" &&
          args[0] !== "log" &&
          more[0] === "--from" &&
          args.includes("--home")
        )
          continue;
        const { stdout, stderr } = await net.run(...args, ...more);
        const said = `${stdout}${stderr}`;
        const found = unseenIn(said);
        const at = found === undefined ? 0 : said.indexOf(found);
        assert.equal(
          found,
          undefined,
          `smalti ${JSON.stringify([...args, ...more])}: ${JSON.stringify(said.slice(Math.max(0, at - 60), at + 60))}`,
        );
        shown.set(args[0] ?? "", (shown.get(args[0] ?? "") ?? "") + said);
      }
    assert.match(shown.get("ls") ?? "", /gnp\.exe/, "the names are there");
    assert.match(shown.get("publisher") ?? "", /evil/);
    const known = verbRooms.flatMap(({ verbs }) => verbs);
    assert.deepEqual(
      known.filter((verb) => !shown.has(verb) && !others.includes(verb)),
      [],
      "each verb was tried",
    );
  });

  test("every page: names are text and nothing else", async () => {
    const base = net.host("r0").http;
    await until(async () => (await fetch(`${base}/names/`)).ok, 20_000, "r0 has it");
    const pages = [
      "/",
      "/names/",
      "/names/dir%E2%80%AE/",
      "/@1/",
      "/@1/names/",
      "/.smalti/status.html",
    ];
    for (const host of [base, net.host("w0").http])
      for (const page of [
        ...pages,
        `/names/${encodeURIComponent(script)}`,
        `/${encodeURIComponent(wild)}`,
      ]) {
        const answer = await fetch(`${host}${page}`, { headers: { accept: "text/html" } });
        const text = await answer.text();
        for (const [name, value] of answer.headers)
          assert.equal(unseenIn(value), undefined, `${page}: header ${name}`);
        assert.equal(answer.headers.get("x-content-type-options"), "nosniff", page);
        if (!(answer.headers.get("content-type") ?? "").includes("html")) continue;
        assert.equal(unseenIn(text), undefined, `${page} shows what is not seen`);
        assert.ok(!text.includes(script), `${page} has a script of a name`);
      }
  });
});
