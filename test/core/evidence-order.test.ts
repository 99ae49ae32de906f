import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { type Evidence, encodeEvidence, evidenceId } from "../../src/core/accountability/index.ts";
import { Author, type Digest, limits } from "../../src/core/base/index.ts";
import { rootOf, type Signer, sha256 } from "../../src/core/crypto/index.ts";
import {
  decodeConviction,
  decodeLeaf,
  decodeState,
  encodeState,
  execute,
  type LogLeaf,
  type MirrorEvent,
  type MirrorState,
  messageKinds,
  type OrderedMessage,
  signPardon,
  stateKeys,
} from "../../src/core/mirror/index.ts";
import { type Opinion, opinionIn, signStatement } from "../../src/core/opinion/index.ts";
import { initialState, mirrorConfigOf } from "../../src/core/replica/index.ts";
import {
  blockOf,
  castOf,
  digestOf,
  halfOf,
  ofDag,
  published,
  served,
} from "../support/evidence-cast.ts";
import { misdeeds } from "../support/evidence-deeds.ts";

const cast = castOf();
const { network, verifier, signer } = cast;
const proofOfCast = published(cast);

/** A host's replica of the mirror, with the court that hosts really have. */
class Replica {
  readonly data = new Map<string, Uint8Array>();
  events: MirrorEvent[] = [];
  state: MirrorState = initialState(network);
  readonly #config = mirrorConfigOf(network, verifier);

  run(...messages: readonly OrderedMessage[]): this {
    const index = this.state.commit.index + 1;
    const batch = {
      index,
      digest: sha256(Buffer.from(`${index}`)),
      tsMs: this.state.tsMs + 1,
      applications: 0,
      messages,
    };
    const view = { get: (key: string) => this.data.get(key), changes: () => undefined };
    const done = execute(this.state, batch, { view, config: this.#config });
    assert.equal(done.kind, "executed");
    if (done.kind !== "executed") return this;
    this.state = done.state;
    for (const [key, value] of done.writes) {
      if (value === undefined) this.data.delete(key);
      else this.data.set(key, value);
    }
    this.events.push(...done.events);
    return this;
  }

  /** What happened since it was asked last. */
  news(): string[] {
    const said = this.events.flatMap((event) => {
      if (event.type === "checkpoint-due") return [];
      return [event.type === "ignored" ? event.code : event.type];
    });
    this.events = [];
    return said;
  }

  leaves(): LogLeaf[] {
    return Array.from({ length: this.state.log.size }, (_, i) => {
      const leaf = decodeLeaf(this.data.get(stateKeys.leaf(i)) ?? new Uint8Array(0));
      assert.ok(leaf.ok);
      return leaf.value;
    });
  }

  record(author = 1) {
    const stored = this.data.get(stateKeys.conviction(nodeKey(author)));
    const record = stored === undefined ? undefined : decodeConviction(stored);
    return record?.ok ? record.value : undefined;
  }
}

const nodeKey = (author: number) => signer(`w${author} node`).publicKey;
const wireOf = (evidence: Evidence): Uint8Array => encodeEvidence(network, evidence);
const report = (wire: Uint8Array, by = 2): OrderedMessage => ({
  author: Author(by),
  kind: messageKinds.evidence,
  bytes: wire,
});

/** Two blocks of one round, of which a writer can make as many as it likes. */
function twins(author: number, round: number, texts = ["this", "that"]): Uint8Array {
  const [first, second] = texts.map((text) => halfOf(blockOf(cast, { author, round, text })));
  assert.ok(first !== undefined && second !== undefined);
  return wireOf(
    ofDag({ kind: "equivocation", author: Author(author), epoch: 0, round, first, second }),
  );
}

describe("evidence in the order", () => {
  let replica: Replica;
  beforeEach(() => {
    replica = new Replica();
  });

  test("a misdeed is ordered once, whoever reports it, and whatever pair proves it", () => {
    replica.run(report(twins(1, 5), 0), report(twins(1, 5), 3));
    replica.run(report(twins(1, 5), 2), report(twins(1, 5, ["that", "this"])));
    replica.run(report(twins(1, 5, ["this", "a third"])), report(twins(1, 5, ["x", "y"])));
    assert.deepEqual(replica.news(), ["convicted", ...Array(5).fill("DUPLICATE_EVIDENCE")]);
    assert.deepEqual([...replica.state.convicted], [1]);
    const id = evidenceId(twins(1, 5));
    const leaves = replica.leaves().filter(({ kind }) => kind === "evidence");
    assert.deepEqual(leaves, [{ kind: "evidence", id, culprit: nodeKey(1), of: 0 }]);
    assert.deepEqual(replica.data.get(stateKeys.evidence(id)), twins(1, 5));
    const place = replica.leaves().findIndex(({ kind }) => kind === "evidence");
    assert.deepEqual([replica.record()?.leaf, replica.record()?.evidence], [place, id]);
  });

  test("every kind is ordered, names its culprit, and makes a checkpoint due", () => {
    for (const evidence of Object.values(misdeeds)) {
      const one = new Replica().run(report(wireOf(evidence(cast))));
      const due = one.events.find((event) => event.type === "checkpoint-due");
      assert.ok(due?.type === "checkpoint-due");
      assert.deepEqual(due.due.root, rootOf(one.state.log));
      assert.deepEqual(one.news(), ["convicted"]);
      assert.deepEqual([...one.state.convicted], [1]);
    }
  });

  test("proofs against invented readers push out the same reporter's oldest, and nobody else's", () => {
    const most = limits.readerProofsPerWriterMax;
    const against = (reader: number): Uint8Array =>
      wireOf({
        kind: "wrong-answer",
        receipt: served(cast, { content: digestOf("something else") }, `reader ${reader}`),
        proof: proofOfCast,
      });
    const isConvicted = (reader: number): boolean =>
      replica.data.has(stateKeys.conviction(signer(`reader ${reader}`).publicKey));
    replica.run(report(against(0), 1), report(against(1), 3));
    for (let i = 2; i <= most; i++) replica.run(report(against(i), 3));
    assert.ok(isConvicted(0) && isConvicted(1));
    // The cheater's room is full: what it brings takes the place of what it brought.
    const keys = replica.data.size;
    replica.run(report(against(most + 1), 3));
    assert.ok(isConvicted(0), "another reporter's stays");
    assert.equal(isConvicted(1), false);
    assert.ok(isConvicted(most + 1));
    replica.run(report(against(most + 2), 1));
    assert.ok(isConvicted(most + 2), "a reader can be convicted at any time");
    assert.ok(replica.data.size < keys + 100, "what left is gone");
    const decoded = decodeState(encodeState(replica.state));
    assert.deepEqual(decoded.ok && decoded.value.readerProofs, replica.state.readerProofs);
    replica.run(report(against(1), 1));
    assert.ok(isConvicted(1), "and again, if its proof comes again");
  });

  test("a proof that is longer than a plain message is ordered", () => {
    const payload = new Uint8Array(200_000).fill(0xff);
    const { signed } = blockOf(cast, { author: 1, round: 5, payload });
    replica.run(report(wireOf(ofDag({ kind: "invalid-block", signed, payload }))));
    assert.deepEqual(replica.news(), ["convicted"]);
  });

  test("what proves nothing, is of another network, or is too long, is ignored", () => {
    const other = castOf(4, { name: "another" });
    const abroad = encodeEvidence(other.network, misdeeds.equivocation(other));
    const bent = Uint8Array.from(twins(1, 5));
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1;
    replica.run(report(abroad), report(bent), report(Buffer.from("no evidence")));
    const payload = new Uint8Array(limits.evidenceBytesMax).fill(0xff);
    const { signed } = blockOf(cast, { author: 1, round: 5, payload });
    const long = wireOf(ofDag({ kind: "invalid-block", signed, payload }));
    const short = wireOf(ofDag({ kind: "invalid-block", signed, payload: undefined }));
    replica.run(report(long), report(short));
    assert.deepEqual(replica.news(), [
      ...Array(3).fill("FALSE_EVIDENCE"),
      "EVIDENCE_TOO_LONG",
      "FALSE_EVIDENCE",
    ]);
    assert.equal(replica.state.convicted.size, 0);
  });

  test("so many proofs against one host, and no more; others are not touched by that", () => {
    const { evidencePerHostMax: most } = limits;
    for (let round = 1; round <= most + 3; round++) replica.run(report(twins(1, round)));
    replica.run(report(twins(2, 1)));
    assert.deepEqual(replica.news(), [
      ...Array(most).fill("convicted"),
      ...Array(3).fill("ENOUGH_EVIDENCE"),
      "convicted",
    ]);
    assert.deepEqual([replica.record(1)?.count, replica.record(2)?.count], [most, 1]);
    assert.equal(replica.leaves().filter(({ kind }) => kind === "evidence").length, most + 1);
  });
});

describe("pardons in the order", () => {
  const pardon = (wire: Uint8Array, by: Signer = signer("administrator"), author = 1) => {
    const record = {
      group: network.group,
      administrator: by.publicKey,
      culprit: nodeKey(author),
      evidence: evidenceId(wire) as Digest,
      reason: "a bad disk",
    };
    const { wire: bytes } = signPardon(record, by);
    return { author: Author(3), kind: messageKinds.pardon, bytes };
  };
  let replica: Replica;
  beforeEach(() => {
    replica = new Replica().run(report(twins(1, 1)), report(twins(1, 2)));
    replica.news();
  });

  test("only an administrator pardons, and only for the last proof", () => {
    replica.run(pardon(twins(1, 2), signer("w1 node")), pardon(twins(1, 2), signer("publisher")));
    replica.run(pardon(twins(1, 1)), pardon(twins(1, 3)), pardon(twins(1, 2), undefined, 2));
    const bent = pardon(twins(1, 2));
    bent.bytes[bent.bytes.length - 1] = (bent.bytes.at(-1) ?? 0) ^ 1;
    replica.run(bent);
    assert.deepEqual(replica.news(), [
      "NOT_ADMINISTRATOR",
      "NOT_ADMINISTRATOR",
      ...Array(3).fill("NOTHING_TO_PARDON"),
      "BAD_SIGNATURE",
    ]);
    assert.deepEqual([...replica.state.convicted], [1]);
    replica.run(pardon(twins(1, 2)), pardon(twins(1, 2)));
    assert.deepEqual(replica.news(), ["pardoned", "NOTHING_TO_PARDON"]);
    assert.deepEqual([...replica.state.convicted], []);
    assert.equal(replica.record()?.pardon, "a bad disk");
    assert.equal(replica.leaves().at(-1)?.kind, "pardon");
  });

  test("what is pardoned stays proven; a new misdeed convicts again, and needs its own pardon", () => {
    replica.run(pardon(twins(1, 2)), report(twins(1, 2)), report(twins(1, 1, ["x", "y"])));
    assert.deepEqual(replica.news(), ["pardoned", "DUPLICATE_EVIDENCE", "DUPLICATE_EVIDENCE"]);
    assert.equal(replica.state.convicted.size, 0);
    replica.run(report(twins(1, 3)), pardon(twins(1, 2)));
    assert.deepEqual(replica.news(), ["convicted", "NOTHING_TO_PARDON"]);
    assert.deepEqual([...replica.state.convicted], [1]);
    assert.deepEqual([replica.record()?.count, replica.record()?.pardon], [1, ""]);
  });

  test("after the limit a pardoned host can be convicted anew", () => {
    const { evidencePerHostMax: most } = limits;
    for (let round = 3; round <= most + 1; round++) replica.run(report(twins(1, round)));
    replica.run(pardon(twins(1, most)));
    replica.news();
    replica.run(report(twins(1, most + 1)));
    assert.deepEqual(replica.news(), ["convicted"]);
  });
});

describe("opinions in the order", () => {
  const said = (by: number, serial: number, opinion: Opinion = "dead", about = 2) => {
    const reason = { code: "silent", sinceMs: 5, rounds: 6, unanswered: 7 } as const;
    const statement = { by: Author(by), about: Author(about), opinion, reason, serial };
    return signStatement(network, statement, signer(`w${by} node`)).wire;
  };
  const carried = (author: number, bytes: Uint8Array): OrderedMessage => ({
    author: Author(author),
    kind: messageKinds.opinion,
    bytes,
  });
  const held = (replica: Replica, by: number) =>
    opinionIn(replica.state.opinions, Author(by), Author(2));

  test("count in their maker's own block alone, and only if they are newer", () => {
    const replica = new Replica();
    replica.run(carried(3, said(1, 5)), carried(1, said(1, 5)), carried(1, said(1, 5, "ok")));
    assert.deepEqual(replica.news(), ["NOT_OWN_OPINION", "opinion", "OLD_OPINION"]);
    assert.equal(held(replica, 1), "dead");
    replica.run(carried(1, said(1, 4, "ok")), carried(1, said(1, 6, "suspected")));
    assert.deepEqual(replica.news(), ["OLD_OPINION", "opinion"]);
    assert.equal(held(replica, 1), "suspected");
    assert.equal(held(replica, 0), "ok");
    const bent = Uint8Array.from(said(1, 9));
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1;
    replica.run(carried(1, bent), carried(1, Buffer.from("no opinion")));
    assert.equal(replica.news()[0], "BAD_SIGNATURE");
    assert.equal(held(replica, 1), "suspected");
  });

  test("the state survives its encoding with all of it, at every step of any order", () => {
    const message = fc.oneof(
      fc
        .record({ by: fc.nat(3), serial: fc.nat(9) })
        .map(({ by, serial }) =>
          carried(by, said(by, serial, serial % 2 === 0 ? "dead" : "ok", (by + 1) % 4)),
        ),
      fc
        .record({ by: fc.nat(3), round: fc.integer({ min: 1, max: 3 }) })
        .map(({ by, round }) => report(twins(by, round))),
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
        const [one, two] = [new Replica(), new Replica()];
        for (const each of messages) {
          one.run(each);
          two.run(each);
          const bytes = encodeState(one.state);
          const decoded = decodeState(bytes);
          assert.ok(decoded.ok);
          assert.deepEqual(encodeState(decoded.value), bytes);
          // One goes on from what it had on its disk.
          one.state = decoded.value;
        }
        assert.deepEqual(encodeState(one.state), encodeState(two.state));
        assert.deepEqual(one.state.convicted, two.state.convicted);
        assert.deepEqual(one.state.opinions, two.state.opinions);
      }),
      { numRuns: 50 },
    );
  });
});
