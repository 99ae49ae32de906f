import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadGenesis } from "../../src/app/config/index.ts";
import type { HeadProof } from "../../src/app/store/index.ts";
import { Height, toBase64 } from "../../src/core/base/index.ts";
import {
  cosign,
  inclusionProof,
  rootOf,
  type Signer,
  sha256,
  writeNote,
} from "../../src/core/crypto/index.ts";
import { encodeLeaf, encodeStateBody, stateDigest } from "../../src/core/mirror/index.ts";
import { loadKeyFile } from "../../src/io/files/index.ts";
import { HostileServer, on } from "../support/hostile-server.ts";
import { Log, stateOf } from "../support/made-log.ts";
import { type Net, smalti, startNet } from "../support/net.ts";

/** More than f writers cheat: nothing can be trusted, and everything can be proven. */
describe("two certified states that contradict one another", () => {
  let net: Net;
  let work: string;
  let evil: HostileServer;
  let signers: Signer[];

  before(async () => {
    net = await startNet({ writers: 4, readers: 0 });
    work = await mkdtemp(join(tmpdir(), "smalti-fork-"));
    await writeFile(join(work, "file"), "the truth");
    await net.must("publish", work, "demo");
    await net.agree(1);
    evil = await HostileServer.open(net.host("w0").http);
    signers = [];
    for (const { host } of net.writers)
      signers.push(
        (await loadKeyFile(join(host.home, "config/keys/cosign.json"), "cosign")).signer,
      );
  });
  after(async () => {
    await evil?.close();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** What all four writers' keys would sign of another past of the same length. */
  async function forged(right: HeadProof): Promise<HeadProof> {
    const network = await loadGenesis(net.testnet.genesisFile);
    const size = Number(right.checkpoint.split("\n")[1]);
    const log = new Log({ network, cosigner: (i) => signers[i] ?? assert.fail() });
    while (log.frontier.size < size - 1) log.add(Buffer.from(`another past ${log.frontier.size}`));
    const { trees } = stateOf(["lie"]);
    const body = { height: Height(right.height), trees, policy: sha256(Buffer.from("policy")) };
    const tsMs = right.tsMs;
    const leaf = encodeLeaf({ kind: "state", height: body.height, state: stateDigest(body), tsMs });
    const leafIndex = log.add(leaf);
    const checkpoint = { origin: network.origin, size, root: rootOf(log.frontier) };
    const timeS = Math.floor(Date.now() / 1000);
    const lines = network.cosigners.map(({ name }, i) =>
      cosign(checkpoint, { name, signer: signers[i] ?? assert.fail(), timeS }),
    );
    return {
      height: body.height,
      body: toBase64(encodeStateBody(body)),
      tsMs,
      leafIndex,
      leaf: toBase64(leaf),
      proof: inclusionProof(leafIndex, size, log.read).map(toBase64),
      checkpoint: writeNote(checkpoint, lines, network.cosigners),
    };
  }

  test("the command stops with 6, keeps the proofs, and anybody checks them offline", async () => {
    const state = join(work, "state");
    const honest = ["ls", "demo", "--state", state, "--genesis", net.testnet.genesisFile];
    assert.equal((await smalti([...honest, "--from", net.host("w1").http])).code, 0);
    evil.trick = on(/\/\.smalti\/head/, async (request, response) => {
      const { bytes } = await evil.pass(request);
      response.end(JSON.stringify(await forged(JSON.parse(bytes.toString()) as HeadProof)));
    });
    const ran = await smalti([...honest, "--from", evil.url], { cwd: work });
    assert.equal(ran.code, 6, ran.stdout + ran.stderr);
    assert.match(ran.stderr, /contradict one another: more than f writers cheat/);
    const kept = (await readdir(work)).filter((name) => /^fork-\d+-\d+\.evidence$/.test(name));
    assert.ok(kept.length >= 3, `${kept.length} proofs; ${ran.stderr}`);
    for (const name of kept) {
      const file = join(work, name);
      assert.ok(ran.stderr.includes(file), "the file is named");
      const genesis = ["--genesis", net.testnet.genesisFile];
      const verified = await smalti(["evidence", "verify", file, ...genesis]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stdout, /contradicting-checkpoint|w[0-3]/);
    }
    // What it saw first stays what it believes.
    assert.equal((await smalti([...honest, "--from", net.host("w1").http])).code, 0);
    // The proofs convict, from any one writer on.
    const [first = ""] = kept;
    await net.must("evidence", "submit", join(work, first));
  });
});
