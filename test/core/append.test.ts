import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { Author, limits } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { onAppend } from "../../src/core/mirror/append.ts";
import {
  type AppendRecord,
  appendOf,
  execute,
  messageKinds,
  type OrderedMessage,
  readAppend,
  signAppend,
  stateKeys,
} from "../../src/core/mirror/index.ts";
import { initialState, mirrorConfigOf } from "../../src/core/replica/index.ts";
import { castOf } from "../support/evidence-cast.ts";

const { network, verifier, signer } = castOf();
const client = signer("a client");

function recordOf(sequence: number, texts: readonly string[], by = client): AppendRecord {
  const lengths = Buffer.alloc(4 * texts.length);
  for (const [i, text] of texts.entries()) lengths.writeUInt32LE(text.length, 4 * i);
  const data = Buffer.from(texts.join(""));
  return { group: network.group, client: by.publicKey, sequence, lengths, data };
}

describe("messages that are ordered once", () => {
  const data = new Map<string, Uint8Array>();
  let state = initialState(network);
  beforeEach(() => {
    data.clear();
    state = initialState(network);
  });

  /** Where each record of a batch stands: index, or what became of it. */
  function run(wires: readonly (Uint8Array | OrderedMessage)[], applications = 0): string[] {
    const index = state.commit.index + 1;
    const messages = wires.map(
      (wire): OrderedMessage =>
        wire instanceof Uint8Array
          ? { author: Author(index % 4), kind: messageKinds.append, bytes: wire }
          : wire,
    );
    const digest = sha256(Buffer.from(`${index}`));
    const batch = { index, digest, tsMs: state.tsMs + 1, applications, messages };
    const view = { get: (key: string) => data.get(key), changes: () => undefined };
    const done = execute(state, batch, { view, config: mirrorConfigOf(network, verifier) });
    assert.equal(done.kind, "executed");
    if (done.kind !== "executed") return [];
    state = done.state;
    for (const [key, value] of done.writes) {
      if (value === undefined) data.delete(key);
      else data.set(key, value);
    }
    return done.appends.map((place) =>
      place === undefined ? "none" : `${place.first}+${place.count}${place.isNew ? "" : " again"}`,
    );
  }
  const wireOf = (sequence: number, texts = ["m"], by = client): Uint8Array =>
    signAppend(recordOf(sequence, texts, by), by).wire;

  test("a number counts once, whoever brings it and however often; plain messages of a commit come first", () => {
    assert.deepEqual(run([wireOf(0, ["a", "b"]), wireOf(0, ["a", "b"]), wireOf(1)], 3), [
      "3+2",
      "3+2 again",
      "5+1",
    ]);
    assert.deepEqual(run([wireOf(1), wireOf(2)]), ["5+1 again", "6+1"]);
    assert.equal(state.messages, 7);
    assert.deepEqual([...(data.get(stateKeys.appended(1)) ?? [])], [1, 0, 1]);
  });

  test("another message under a number that was used is none", () => {
    run([wireOf(0, ["first"])]);
    assert.deepEqual(run([wireOf(0, ["second"])]), ["0+1 again"]);
    assert.equal(state.messages, 1);
  });

  test("numbers may come in any order, of the last ones; older ones are refused", () => {
    assert.deepEqual(run([wireOf(5), wireOf(3), wireOf(4)]), ["0+1", "1+1", "2+1"]);
    run(Array.from({ length: 64 }, (_, i) => wireOf(100 + i)));
    assert.deepEqual(run([wireOf(5), wireOf(6), wireOf(163)]), ["none", "none", "66+1 again"]);
  });

  test("clients do not share numbers", () => {
    const other = signer("another client");
    assert.deepEqual(run([wireOf(0), wireOf(0, ["m"], other)]), ["0+1", "1+1"]);
  });

  test("who signs for another, abroad, or with wrong lengths is not ordered, and counts as a record all the same", () => {
    const forged = signAppend(recordOf(0, ["m"]), signer("a thief")).wire;
    const abroad = { ...recordOf(0, ["m"]), group: castOf(4, { name: "x" }).network.group };
    const short = { ...recordOf(0, ["m"]), lengths: Buffer.from([2, 0, 0, 0]) };
    const long: OrderedMessage = {
      author: Author(0),
      kind: messageKinds.append,
      bytes: new Uint8Array(limits.messageBytesMax + 1),
    };
    const wires = [forged, signAppend(abroad, client).wire, signAppend(short, client).wire, long];
    assert.deepEqual(run([...wires, wireOf(0)]), ["none", "none", "none", "none", "0+1"]);
    const read = readAppend(signAppend(short, client).wire, network.group, verifier);
    assert.equal(read.ok ? "" : read.error.code, "BAD_LENGTHS");
    assert.equal(appendOf(Buffer.from("nothing")), undefined);
  });

  test("so many clients are remembered: the one that was taken longest ago makes room", () => {
    const store = new Map<string, Uint8Array>();
    const get = (key: string): Uint8Array | undefined => store.get(key);
    const take = (name: string, turn: number, sequence: number): boolean => {
      const done = onAppend(recordOf(sequence, ["m"], signer(name)), { get, next: turn, turn });
      assert.ok(done.ok);
      for (const [key, value] of done.value.writes) {
        if (value === undefined) store.delete(key);
        else store.set(key, value);
      }
      return done.value.place.isNew;
    };
    const most = limits.appendersMax;
    assert.ok(take("early", 0, 0) && take("faithful", 1, 0));
    assert.ok(take("faithful", 5, 1));
    assert.equal(store.size, 5);
    assert.ok(take("x", most, 0), "takes the place of the first");
    assert.ok(take("y", most + 1, 0), "the second has come again since");
    assert.equal(take("faithful", most + 2, 1), false, "so it is remembered");
    assert.ok(take("early", most + 3, 0), "and the first is not");
  });
});
