import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  bigEndian,
  compareBytes,
  Digest,
  fromBase64,
  fromHex,
  limits,
  MonotonicClock,
  Prng,
  type PublicKey,
  readBigEndian,
  toBase64,
  toHex,
} from "../../src/core/base/index.ts";
import { decode, encode } from "../../src/core/codec/index.ts";
import {
  append,
  type Checkpoint,
  consistencyProof,
  cosign,
  Ed25519Verifier,
  emptyFrontier,
  type Frontier,
  inclusionProof,
  isSoundKey,
  leafHash,
  nodeHash,
  readNote,
  rootOf,
  sha256,
  signingBytes,
  taggedDigest,
  verifyConsistency,
  verifyInclusion,
  verifyNote,
  writeNote,
} from "../../src/core/crypto/index.ts";
import { realSigner } from "../support/dag-world.ts";

describe("bytes", () => {
  test("hex, base64 and big-endian numbers are their own inverses", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        assert.deepEqual(fromHex(toHex(bytes)), bytes);
        assert.equal(toHex(bytes), Buffer.from(bytes).toString("hex"));
        assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
        assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
      }),
    );
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.nat(2 ** 31 - 1), (a, b) => {
        assert.equal(readBigEndian(bigEndian(a, 6)), a);
        assert.equal(Math.sign(compareBytes(bigEndian(a, 6), bigEndian(b, 6))), Math.sign(a - b));
      }),
    );
  });

  test("what is no lower-case hex is refused", () => {
    for (const text of ["a", "0A", "g0", "0g", "0/", "0:", "0`", "é0", "00\u0130", " 0"])
      assert.throws(() => fromHex(text), /hex text/, text);
  });

  test("base64 that is not canonical is refused", () => {
    for (const text of ["QQ=", "QR==", "Q Q=", "QQ==\n", "=QQQ"])
      assert.equal(fromBase64(text), undefined);
  });

  test("a monotonic clock never goes back", () => {
    const clock = new MonotonicClock();
    const seen = [1000, 1010, 400, 410, 2000].map((now) => clock.read(now));
    assert.deepEqual(seen, [1000, 1010, 1010, 1020, 2610]);
    assert.equal(clock.toCaller(2610), 2000);
  });

  test("the generator is the same for the same seed, and spread", () => {
    const draw = (seed: number): number[] => {
      const random = new Prng(seed);
      return Array.from({ length: 1000 }, () => random.below(10));
    };
    assert.deepEqual(draw(7), draw(7));
    assert.notDeepEqual(draw(7), draw(8));
    assert.equal(new Set(draw(7)).size, 10);
  });

  test("the limits' relations are asserted when they are loaded", () => {
    assert.ok(limits.payloadBytesMax < limits.fetchBytesMax);
  });
});

describe("canonical bytes (RFC 8949 §4.2.1)", () => {
  test("what is written is read back, and is the only form", () => {
    const leaf = fc.oneof(
      fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 40 }),
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie("any"), { maxLength: 5 })),
    })).any;
    fc.assert(
      fc.property(value, (item) => {
        const bytes = encode(item as never);
        const decoded = decode(bytes);
        assert.ok(decoded.ok);
        assert.deepEqual(encode(decoded.value), bytes);
      }),
    );
  });

  const refused: Readonly<Record<string, string>> = {
    "a number in a longer form": "1800",
    "a length in a longer form": "580161",
    "an indefinite array": "9fff",
    "indefinite bytes": "5f4101ff",
    "trailing bytes": "0000",
    "a truncated text": "6261",
    "a float": "f93c00",
    "an integer as a float": "fb3ff0000000000000",
    "a tag": "c000",
    "a map": "a10102",
    undefined: "f7",
    "text that is not UTF-8": "61ff",
    "longer text that is not UTF-8": `7828${"61".repeat(39)}ff`,
    "text of which a mark at its start would be lost": `7826efbbbf${"61".repeat(35)}`,
    nothing: "",
    "an integer beyond 2^53": "1b0020000000000000",
  };
  for (const [name, hex] of Object.entries(refused)) {
    test(`refuses ${name}`, () => assert.equal(decode(fromHex(hex)).ok, false));
  }

  test("any bytes give a value whose only form they are, or a fault, never a throw", () => {
    const head = fc.constantFrom(
      0x18,
      0x38,
      0x58,
      0x78,
      0x81,
      0x82,
      0x98,
      0xf4,
      0xf7,
      0xf8,
      0xf9,
      0xff,
    );
    const tail = fc.uint8Array({ maxLength: 12 });
    const likely = fc
      .tuple(fc.array(head, { maxLength: 4 }), tail)
      .map(([heads, rest]) => Uint8Array.from([...heads, ...rest]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), likely), (bytes) => {
        const decoded = decode(bytes);
        if (decoded.ok) assert.deepEqual(encode(decoded.value), bytes);
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("signatures (RFC 8032)", () => {
  const verifier = new Ed25519Verifier();

  test("vector 1 of RFC 8032 §7.1", () => {
    const key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" as PublicKey;
    const signature =
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    assert.ok(verifier.verify(key, new Uint8Array(0), fromHex(signature)));
    assert.ok(!verifier.verify(key, Uint8Array.of(0), fromHex(signature)));
  });

  test("a second form of a valid signature (scalar plus the group order) is refused", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const key = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url").toString(
      "hex",
    ) as PublicKey;
    const message = Buffer.from("once");
    const signature = sign(null, message, privateKey);
    assert.ok(verifier.verify(key, message, signature));
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const scalar =
      BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order;
    const other = Buffer.from(scalar.toString(16).padStart(64, "0"), "hex").reverse();
    const forged = Buffer.concat([signature.subarray(0, 32), other]);
    assert.equal(verifier.verify(key, message, forged), false);
  });

  test("keys of small order prove nothing", () => {
    const identity = `01${"00".repeat(31)}` as PublicKey;
    assert.equal(isSoundKey(identity), false);
    const forged = new Uint8Array(64);
    forged[0] = 1;
    assert.equal(verifier.verify(identity, Buffer.from("anything"), forged), false);
  });

  test("kinds are separate domains", () => {
    const bytes = Buffer.from("same bytes");
    const digests = (["header", "commit", "node", "update"] as const).map((kind) =>
      taggedDigest(kind, bytes),
    );
    assert.equal(new Set(digests).size, 4);
  });
});

/** The dumbest Merkle tree there is (RFC 6962 §2.1). */
function dumbRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return createHash("sha256").digest();
  if (leaves.length === 1) return leafHash(leaves[0] as Uint8Array);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(dumbRoot(leaves.slice(0, split)), dumbRoot(leaves.slice(split)));
}

/** The leaves that Certificate Transparency's own tests use, and the roots of the first one, two, … eight. */
const knownLeaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
knownLeaves.push("606162636465666768696a6b6c6d6e6f");
const knownRoots = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

describe("the log (RFC 6962)", () => {
  test("the roots that others compute: leaves and nodes are hashed apart", () => {
    let log = emptyFrontier;
    for (const [i, leaf] of knownLeaves.entries()) {
      log = append(log, fromHex(leaf)).frontier;
      assert.equal(toHex(rootOf(log)), knownRoots[i], `${i + 1} leaves`);
    }
  });

  const leaves = Array.from({ length: 70 }, (_, i) => Buffer.from(`leaf ${i}`));
  const stored = new Map<string, Uint8Array>();
  const logs: Frontier[] = [emptyFrontier];
  for (const leaf of leaves) {
    const added = append(logs.at(-1) ?? emptyFrontier, leaf);
    for (const { level, index, hash } of added.stored) stored.set(`${level}/${index}`, hash);
    logs.push(added.frontier);
  }
  const read = (level: number, index: number): Uint8Array =>
    stored.get(`${level}/${index}`) ?? new Uint8Array(0);
  const at = (size: number): { size: number; root: Uint8Array } => ({
    size,
    root: rootOf(logs[size] ?? emptyFrontier),
  });

  test("roots equal the definition's at every size", () => {
    for (const size of logs.keys())
      assert.deepEqual(at(size).root, dumbRoot(leaves.slice(0, size)));
  });

  test("every inclusion proof verifies, and no altered one does", () => {
    for (let size = 1; size <= leaves.length; size += 3) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, read);
        const hash = leafHash(leaves[index] as Uint8Array);
        assert.ok(verifyInclusion({ hash, index }, at(size), proof), `${index} of ${size}`);
        assert.ok(!verifyInclusion({ hash, index: index + 1 }, at(size), proof));
        assert.ok(!verifyInclusion({ hash: leafHash(Buffer.from("x")), index }, at(size), proof));
        assert.ok(!verifyInclusion({ hash, index }, at(size), [...proof, hash]));
        if (proof.length > 0)
          assert.ok(!verifyInclusion({ hash, index }, at(size), proof.slice(1)));
      }
    }
  });

  test("every consistency proof verifies, and not for another root", () => {
    for (let to = 1; to <= leaves.length; to += 2) {
      for (let from = 1; from <= to; from++) {
        const proof = consistencyProof(from, to, read);
        assert.ok(verifyConsistency(at(from), at(to), proof), `${from} → ${to}`);
        const other = { size: from, root: leafHash(Buffer.from("fork")) };
        assert.ok(!verifyConsistency(other, at(to), proof));
      }
    }
  });
});

describe("checkpoints (C2SP tlog-checkpoint, tlog-cosignature)", () => {
  const signers = ["a", "b", "c", "d"].map((name) => ({
    name: `smalti/x/${name}`,
    signer: realSigner(),
  }));
  const cosigners = signers.map(({ name, signer }) => ({ name, key: signer.publicKey }));
  const checkpoint: Checkpoint = {
    origin: "smalti/x/0",
    size: 42,
    root: leafHash(Buffer.from("root")),
  };
  const verifier = new Ed25519Verifier();
  const expected = { origin: checkpoint.origin, cosigners, quorum: 3, verifier };
  const signed = (count: number): string =>
    writeNote(
      checkpoint,
      signers.slice(0, count).map((by) => cosign(checkpoint, { ...by, timeS: 1_700_000_000 })),
      cosigners,
    );

  test("the form is the specification's", () => {
    const [origin, size, root, gap, line] = signed(3).split("\n");
    assert.deepEqual([origin, size, gap], ["smalti/x/0", "42", ""]);
    assert.equal(Buffer.from(root ?? "", "base64").length, 32);
    assert.match(line ?? "", /^— smalti\/x\/a [A-Za-z0-9+/=]+$/);
    assert.equal(Buffer.from(line?.split(" ").at(-1) ?? "", "base64").length, 4 + 8 + 64);
  });

  test("a quorum of distinct known cosigners is needed", () => {
    assert.ok(verifyNote(signed(3), expected).ok);
    assert.equal(verifyNote(signed(2), expected).ok, false);
    const [head = "", lines = ""] = signed(2).split("\n\n");
    const doubled = `${head}\n\n${lines}${lines}`;
    assert.equal(verifyNote(doubled, expected).ok, false, "one writer counts once");
    const strangers = { ...expected, cosigners: cosigners.slice(2) };
    assert.equal(verifyNote(signed(3), strangers).ok, false);
  });

  test("another size, root or origin does not verify", () => {
    for (const [from, to] of [
      ["\n42\n", "\n43\n"],
      ["smalti/x/0", "smalti/x/1"],
      [toBase64(checkpoint.root), toBase64(leafHash(Buffer.from("other")))],
    ] as const) {
      const forged = signed(4).replace(from, to);
      assert.equal(
        verifyNote(forged, { ...expected, origin: forged.split("\n")[0] ?? "" }).ok,
        false,
      );
    }
  });

  test("malformed notes are faults", () => {
    for (const note of [
      "",
      "\n\n",
      "a\n1\nxx\n\n",
      `o\n01\n${toBase64(checkpoint.root)}\n\n— a b\n`,
      signed(3).trimEnd(),
    ]) {
      assert.equal(readNote(note).ok, false, JSON.stringify(note));
    }
    assert.throws(() => Digest("zz"));
  });
});

test("what is signed begins with its kind, so that no signature serves for another", () => {
  const digest = sha256(Buffer.from("x"));
  for (const kind of ["block", "update", "policy-change"] as const) {
    const bytes = Buffer.from(signingBytes(kind, digest));
    assert.equal(bytes.toString("latin1").slice(0, -32), `smalti/${kind}/v1\n`);
    assert.equal(bytes.subarray(-32).toString("hex"), digest);
  }
});
