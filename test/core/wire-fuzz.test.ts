import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeMessage, encodeMessage } from "../../sim/index.ts";
import { fuzz, plainMessages } from "../support/wire-fuzz.ts";

const file = new URL("../../../test/campaign/wire-corpus.json", import.meta.url);
const corpus = (JSON.parse(readFileSync(file, "utf8")) as string[]).map((hex) =>
  Buffer.from(hex, "hex"),
);
/** Some seconds; `npm run fuzz` goes on for as long as it is told to. */
const frames = 8000;

test("the fuzzer begins with every kind of message", () => {
  const types = plainMessages().map((message) => {
    const read = decodeMessage(encodeMessage(message));
    assert.ok(read.ok, `${message.type} reads`);
    return read.value.type;
  });
  assert.equal(new Set(types).size, 16);
});

test(`${frames} bent frames: no assert, no bound broken, nobody but the sender at fault, and the rounds go on`, () => {
  const { found, corpus: reached } = fuzz({ seed: 1, corpus, isOver: (done) => done >= frames });
  assert.equal(found?.why, undefined);
  assert.ok(reached.length > corpus.length + 20, "it reaches what it has not seen");
});
