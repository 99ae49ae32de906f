import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Net, startNet, until } from "../support/net.ts";
import { publishText } from "../support/publishing.ts";

describe("mistakes that people make, and what they are told", () => {
  let net: Net;
  const at = (...names: string[]): string => join(net.directory, ...names);
  const refused = async (args: readonly string[], code: number, said: RegExp): Promise<void> => {
    const ran = await net.run(...args);
    assert.match(ran.stderr, said, args.join(" "));
    assert.equal(ran.code, code, `${args.join(" ")}: ${ran.stderr}`);
  };

  before(async () => {
    net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
    const isReady = async (): Promise<boolean> =>
      (await fetch(`${net.host("r0").host.admin}/readyz`)).status === 200;
    await until(isReady, 30_000, "a reader of an empty network is ready");
    await net.agree(await publishText(net, { tree: "handbook", name: "x", text: "1" }));
  });
  after(() => net?.stop());

  test("addresses: a missing scheme is no riddle, and other words are not swallowed", async () => {
    const { host } = new URL(net.host("r0").http);
    assert.match(await net.must("ls", "handbook", "--from", host), /x/);
    await refused(
      ["ls", "--from", net.host("r0").http, "handbook"],
      2,
      /put other words before it/,
    );
  });

  test("a tree's name is checked before anything else, and the rule is told", async () => {
    mkdirSync(at("some"), { recursive: true });
    for (const name of ["a b", "a/b", "-a"])
      await refused(
        ["publish", at("some"), "--", name],
        2,
        /cannot be a tree's name: letters, digits/,
      );
  });

  test("a single file is verified against its place in a tree", async () => {
    writeFileSync(at("x"), "1");
    assert.match(await net.must("verify", at("x"), "handbook/x"), /verified/);
    writeFileSync(at("x"), "2");
    await refused(["verify", at("x"), "handbook/x"], 3, /TREE_DIFFERS/);
    await refused(["verify", at("x"), "handbook"], 2, /is a file, and handbook is a directory/);
  });

  test("get says what stays, and makes a mirror with --delete", async () => {
    await net.must("get", "handbook", at("got"));
    for (const name of ["more", "y"]) writeFileSync(at("got", name), "z");
    assert.match(await net.must("get", "handbook", at("got")), /2 files stay.*--delete/);
    assert.match(await net.must("get", "handbook", at("got"), "--delete"), /2 files deleted/);
    await assert.rejects(readFile(at("got", "more")));
    for (let i = 0; i < 20; i++) writeFileSync(at("got", `other${i}`), "z");
    await refused(["get", "handbook", at("got"), "--delete"], 1, /TOO_MANY_DELETIONS/);
  });

  test("reading goes on where nothing can be kept, with a warning", async () => {
    writeFileSync(at("file"), "");
    const ran = await net.run("ls", "handbook", "--state", at("file", "below"));
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stderr, /cannot (read|keep) what this client has seen/);
  });

  test("hosts that nobody could reach, and settings that do not exist", async () => {
    const init = (...flags: string[]): string[] => [
      "init",
      "--home",
      at("new"),
      "--role",
      "writer",
      ...flags,
    ];
    await refused(init("--listen", "8080"), 2, /--listen 8080: expected host:port/);
    await refused(init("--listen", "0.0.0.0:8080"), 2, /nobody reaches a host at .*--external/);
    await refused(init("--net", "[::]:26656"), 2, /nobody reaches a host at .*--net-external/);
    const reached = ["--external", "http://a.example:80", "--net-external", "a.example:26656"];
    const entry = await net.must(...init("--listen", "0.0.0.0:8080", ...reached), "-o", "json");
    assert.match(entry, /"http": "http:\/\/a.example:80"/);
    await writeFile(at("entry.json"), entry.replace("http://a.example:80", "http://0.0.0.0:80"));
    const make = ["genesis", "make", "--name", "n", "--writer", at("entry.json")];
    await refused(make, 2, /--administrator/);
    const key = "ab".repeat(32);
    await refused([...make, "--administrator", key, "--out", at("g.json")], 2, /nobody reaches it/);
    const config = at("new", "config", "config.toml");
    await writeFile(config, `${await readFile(config, "utf8")}\n[logging]\nlevle = "info"\n`);
    await refused(
      ["config", "show", "--home", at("new")],
      2,
      /logging.levle: there is no such setting/,
    );
  });

  test("a directory where the config should be is not taken for a missing one", async () => {
    await rm(at("dir-home"), { recursive: true, force: true });
    mkdirSync(at("dir-home", "config", "config.toml"), { recursive: true });
    await refused(["config", "show", "--home", at("dir-home")], 2, /cannot be read \(EISDIR\)/);
  });

  test("status of a home that holds several shows all of them", async () => {
    const rows = JSON.parse(await net.must("status", "-o", "json")) as { role: string }[];
    assert.deepEqual(rows.map(({ role }) => role).sort(), [
      "reader",
      ...Array<string>(4).fill("writer"),
    ]);
  });

  test("a long listing is one table, however many parts it is laid out in", async () => {
    mkdirSync(at("long"));
    for (let i = 0; i < 3000; i++) writeFileSync(at("long", `name-${i}-漢`), "");
    await net.must("publish", at("long"), "long");
    const lines = (await net.must("ls", "long")).trimEnd().split("\n");
    assert.equal(lines.length, 3001);
    const columns = lines.slice(1).map((line) => line.indexOf("name-"));
    assert.equal(new Set(columns).size, 1, "names stand in one column");
  });

  test("readers do not say that they sign nothing", async () => {
    const metricsOf = async (name: string): Promise<string> =>
      (await fetch(`${net.host(name).host.admin}/metrics`)).text();
    assert.match(await metricsOf("w0"), /^smalti_consensus_signing\{role="writer"\} 1$/m);
    assert.doesNotMatch(await metricsOf("r0"), /^smalti_consensus_signing.* \d/m);
  });
});
