import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { formatGenesis, parseGenesis } from "../../src/app/genesis/index.ts";
import { PublicKey, toHex } from "../../src/core/base/index.ts";
import { type Genesis, networkOf } from "../../src/core/committee/index.ts";
import {
  consistencyProof,
  Ed25519Verifier,
  ed25519Signer,
  type Signer,
  sha256Text,
} from "../../src/core/crypto/index.ts";
import { dag } from "../../src/core/dag/index.ts";
import { checkConsistency, checkPathProof, writeConsistency } from "../../src/core/proof/index.ts";
import { type Committee, Log, provenIn } from "../support/made-log.ts";

/** Keys that everybody knows: seeds are SHA-256 of a name. */
function signerOf(name: string): Signer {
  const seed = sha256Text(`smalti test vector ${name}`);
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const x = createPublicKey(key).export({ format: "jwk" }).x ?? "";
  return ed25519Signer(seed, PublicKey(toHex(Buffer.from(x, "base64url"))));
}

const genesis: Genesis = {
  name: "vectors",
  timeMs: 1_767_225_600_000,
  faults: { n: 4, f: 1, c: 0, k: 0 },
  consensus: { algorithm: dag.name, parameters: { rule: "three", leadersPerRound: 1 } },
  writers: [0, 1, 2, 3].map((i) => ({
    name: `w${i}`,
    nodeKey: signerOf(`w${i} node`).publicKey,
    blockKey: signerOf(`w${i} block`).publicKey,
    cosignKey: signerOf(`w${i} cosign`).publicKey,
    address: "",
    http: "http://127.0.0.1",
  })),
  administrators: [signerOf("administrator").publicKey],
  publishers: [],
};

const network = networkOf(genesis, [dag]);
assert.ok(network.ok);
const committee: Committee = {
  network: network.value,
  cosigner: (writer) => signerOf(`w${writer} cosign`),
};

const place = (name: string): URL => new URL(`../../../docs/spec/${name}`, import.meta.url);

function growth(): string {
  const log = new Log(committee);
  for (let i = 0; i < 5; i++) log.add(Buffer.from(`leaf ${i}`));
  const older = log.note();
  for (let i = 5; i < 13; i++) log.add(Buffer.from(`leaf ${i}`));
  return writeConsistency({ older, newer: log.note(), hashes: consistencyProof(5, 13, log.read) });
}

const files = Array.from({ length: 40 }, (_, i) => `dir/file-${i}`);
const right = provenIn(committee, files, "demo/dir/file-7");
/** The files of `docs/spec`, and what checking each of them must come to. */
const vectors: Readonly<Record<string, { readonly text: string; readonly result: string }>> = {
  "genesis.json": { text: formatGenesis(genesis), result: network.value.group },
  "file.tlog-proof": { text: right, result: "ok" },
  "absent.tlog-proof": { text: provenIn(committee, files, "demo/dir/none"), result: "ok" },
  "two-signatures.tlog-proof": { text: right.replace(/— .*\n$/, ""), result: "NO_QUORUM" },
  "one-signature-twice.tlog-proof": {
    text: right.replace(/(— .*\n)— .*\n$/, "$1$1"),
    result: "NO_QUORUM",
  },
  "other-index.tlog-proof": { text: right.replace(/^index 5$/m, "index 4"), result: "WRONG_PROOF" },
  "growth.consistency": { text: growth(), result: "ok" },
  "forked.consistency": {
    text: growth().replace(/^[A-Za-z0-9+/]{43}=$/m, `${"A".repeat(43)}=`),
    result: "INCONSISTENT",
  },
};

for (const [name, { text, result }] of Object.entries(vectors))
  test(`docs/spec/${name} is what it was, and comes to ${result.slice(0, 16)}`, () => {
    if (process.env["UPDATE"] !== undefined) writeFileSync(place(name), text);
    const kept = readFileSync(place(name), "utf8");
    assert.equal(kept, text);
    if (name === "genesis.json") return assert.equal(parseGenesis(kept, name).group, result);
    const trust = { network: network.value, verifier: new Ed25519Verifier() };
    const checked = name.endsWith(".consistency")
      ? checkConsistency(trust, kept)
      : checkPathProof(trust, kept);
    assert.equal(checked.ok ? "ok" : checked.error.code, result);
  });
