import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits, Prng } from "../../src/core/base/index.ts";
import { FrameReader, frameHead } from "../../src/io/transport/frames.ts";

function framed(frames: readonly Buffer[]): Buffer {
  return Buffer.concat(frames.flatMap((frame) => [frameHead(frame), frame]));
}

function readAll(stream: Buffer, cut: () => number): Buffer[] {
  const reader = new FrameReader();
  const found: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = Math.min(stream.length, at + cut());
    const read = reader.push(stream.subarray(at, end));
    assert.ok("frames" in read);
    found.push(...read.frames);
    at = end;
  }
  return found;
}

describe("frames", () => {
  test("whatever the stream is cut into, the frames are the same", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Prng(seed);
      const frames = Array.from({ length: random.below(12) }, () =>
        Buffer.alloc(random.below(40), random.below(256)),
      );
      const most = 1 + random.below(60);
      const found = readAll(framed(frames), () => 1 + random.below(most));
      assert.deepEqual(found, frames, `seed ${seed}`);
    }
  });

  test("a frame above the limit is a fault before its bytes are taken", () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(limits.frameBytesMax + 1, 0);
    const reader = new FrameReader();
    assert.ok("frames" in reader.push(head.subarray(0, 3)));
    assert.ok("fault" in reader.push(head.subarray(3)));
  });

  test("a large frame in small pieces is not copied over and over", () => {
    const frame = Buffer.alloc(16 * 1024 * 1024, 7);
    const begun = performance.now();
    const found = readAll(framed([frame, frame]), () => 1400);
    assert.equal(found.length, 2);
    assert.ok(found.every((copy) => copy.equals(frame)));
    assert.ok(performance.now() - begun < 3000);
  });
});
