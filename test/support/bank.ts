import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { verifyHead } from "../../src/app/client/index.ts";
import { type Digest, fromBase64 } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { decodeStateBody } from "../../src/core/mirror/index.ts";
import { type FrontedNet, reach, startFronted } from "./fronted-net.ts";
import { type Claims, type MadeTree, madeHead, treeOf } from "./pretence.ts";
import { type Publisher, publisherOf } from "./publisher.ts";

/** Content by path. */
export type Files = Readonly<Record<string, string>>;

/** Longer than what is packed, so that it goes its own way. */
const ledger = (): string => randomBytes(100_000).toString("hex");
export const base: Files = {
  "accounts/alice": "alice has 100\n",
  "accounts/bob": "bob has 100\n",
  "bank.txt": "two accounts\n",
  ledger: ledger(),
};
export const writeA: Files = { "accounts/alice": "alice has 050\n" };
export const writeB: Files = { "accounts/bob": "bob has 150\n" };
/** What the writers certify, by height. */
export const states: readonly Files[] = [
  {},
  base,
  { ...base, ...writeA },
  { ...base, ...writeA, ...writeB },
];
export const newest: Files = { ...base, ...writeA, ...writeB };
/** What no writer ever certified: B executed, and A ignored. */
export const onlyB: Files = { ...base, ...writeB };
/** What nobody ever wrote, of the same sizes. */
export const invented: Files = { ...newest, "accounts/alice": "alice has 999\n", ledger: ledger() };

export const bankOf = (files: Files): MadeTree => treeOf("bank", files);
export const digestOf = (content: string | undefined): Digest => sha256(Buffer.from(content ?? ""));

/** A command line but for the servers; `directory` is there to be filled. */
export type Verb = (directory: string) => readonly string[];
export const cat = (path: string): Verb => {
  return () => ["cat", `bank/${path}`];
};
export const get: Verb = (directory) => ["get", "bank", directory];

/** The file service under attack: a bank whose tree went through `states`, one server of which lies. */
export class Bank {
  readonly world: FrontedNet;
  readonly publisher: Publisher;
  readonly work: string;
  /** Answers to "what is the state?" as an honest server gave them at each height. */
  readonly heads: string[] = [""];
  /** Answers to "which commits are there?" at each height, and the index of the newest one. */
  readonly ranges: Uint8Array[] = [new Uint8Array()];
  readonly commits: number[] = [0];
  #policy: Digest = digestOf("");

  constructor(parts: { world: FrontedNet; publisher: Publisher; work: string }) {
    this.world = parts.world;
    this.publisher = parts.publisher;
    this.work = parts.work;
  }

  static async open(): Promise<Bank> {
    const world = await startFronted();
    const publisher = await publisherOf(
      world.net,
      world.honest.map(({ http }) => http),
    );
    const work = await mkdtemp(join(tmpdir(), "smalti-bank-"));
    const bank = new Bank({ world, publisher, work });
    try {
      for (const [height, files] of states.entries()) if (height > 0) await bank.#write(files);
      await bank.#checkMade();
    } catch (error) {
      await bank.close();
      throw error;
    }
    return bank;
  }

  async #write(files: Files): Promise<void> {
    const directory = await this.put(await this.place("source"), files);
    const height = await this.publisher.publish(directory, "bank");
    assert.equal(height, this.heads.length);
    await reach(this.world.net.writers, height);
    this.heads.push(await (await fetch(`${this.honest}/.smalti/head`)).text());
    this.commits.push((await this.world.net.host("w1").status()).commit);
    const range = await fetch(`${this.honest}/.smalti/v1/commits?after=0&size=0`);
    this.ranges.push(Buffer.from(await range.arrayBuffer()));
  }

  /** Trees made in the test are, byte for byte, what the writers make of the same files. */
  async #checkMade(): Promise<void> {
    const told = JSON.parse(this.heads[3] ?? "") as { body: string };
    const head = verifyHead(this.publisher.trust, told);
    assert.ok(head.ok && head.value.trees === bankOf(newest).trees);
    const body = decodeStateBody(fromBase64(told.body) ?? new Uint8Array());
    assert.ok(body.ok);
    this.#policy = body.value.policy;
  }

  async close(): Promise<void> {
    await this.world.stop();
    await rm(this.work, { recursive: true, force: true });
  }

  get honest(): string {
    return this.world.net.host("w1").http;
  }

  place(name: string): Promise<string> {
    return mkdtemp(join(this.work, `${name}-`));
  }

  async put(directory: string, files: Files): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), content);
    }
    return directory;
  }

  async contents(directory: string): Promise<Files> {
    const files: Record<string, string> = {};
    for (const item of await readdir(directory, { recursive: true, withFileTypes: true })) {
      const path = join(item.parentPath, item.name);
      if (item.isFile()) files[path.slice(directory.length + 1)] = await readFile(path, "utf8");
    }
    return files;
  }

  /** A proof of the newest height that has these files instead, as these writers sign it; nothing else is wrong with it. */
  async claimed(
    files: Files,
    signers: readonly number[],
  ): Promise<Readonly<Record<string, unknown>>> {
    const keys = signers.map(async (writer) => ({
      writer,
      signer: await this.world.cosignKey(writer),
    }));
    const state = { trees: bankOf(files).trees, height: 3, policy: this.#policy };
    return madeHead(this.publisher.trust.network, state, await Promise.all(keys));
  }

  /** The proof of the newest height with the body of another state in it. */
  async bodyOf(files: Files): Promise<unknown> {
    const { body } = await this.claimed(files, []);
    return { ...(JSON.parse(this.heads[3] ?? "") as object), body };
  }

  /** Refused where the liar is alone; refused, named and made good (`code`) where an honest server is asked too. */
  async refused(verb: Verb, code = 0): Promise<{ readonly stdout: string; readonly files: Files }> {
    const [first, second] = [await this.place("alone"), await this.place("both")];
    const { net, liar } = this.world;
    const [alone, both] = await Promise.all([
      net.run(...verb(first), "--from", liar.url),
      net.run(...verb(second), "--from", liar.url, this.honest),
    ]);
    assert.equal(alone.code, 3, `from the liar alone: ${alone.stdout}${alone.stderr}`);
    assert.equal(alone.stdout, "");
    assert.equal(both.code, code, both.stderr);
    for (const { stderr } of [alone, both])
      assert.ok(stderr.includes(`refused ${liar.url}: `), stderr);
    assert.ok(!both.stderr.includes(`refused ${this.honest}`), both.stderr);
    for (const [path, content] of Object.entries(await this.contents(first)))
      assert.equal(content, newest[path], `${path} of what the liar alone gave`);
    return { stdout: both.stdout, files: await this.contents(second) };
  }

  /** Whoever downloads or compares is told what the writers agreed on, whatever the liar claims. */
  async believesNone(claimed: Files): Promise<void> {
    const directory = await this.put(await this.place("claimed"), claimed);
    const [got] = await Promise.all([
      this.refused(get),
      this.refused(() => ["verify", directory, "bank"], 3),
    ]);
    assert.deepEqual(got.files, newest);
  }

  /** For every content of `files` other bytes of the same length, under its digest. */
  swapped(
    files: Files,
    to: (path: string, content: string) => string | undefined,
  ): Required<Pick<Claims, "bytes">> {
    const bytes = new Map<Digest, Uint8Array>();
    for (const [path, content] of Object.entries(files))
      bytes.set(digestOf(content), Buffer.from(to(path, content) ?? content));
    return { bytes };
  }
}
