import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../../src/core/base/index.ts";
import { decode, encode } from "../../../src/core/codec/index.ts";
import {
  type AcceptedBatch,
  type CertifiedBatch,
  messagesOf,
} from "../../../src/core/consensus/index.ts";
import {
  type Candidate,
  ConformanceNet,
  ConformanceReader,
  type ConformanceWriter,
} from "../../support/conformance-net.ts";

const seeds = [1, 2, 3];

/** What stands at a place of the order, but for tickets, which only the submitter has. */
function placeOf({ index, digest, tsMs, payloads }: AcceptedBatch): unknown[] {
  const said = payloads.flatMap(({ author, segments }) =>
    segments.map(({ kind, lengths, data }) => `${author} ${kind} ${toHex(lengths)} ${toHex(data)}`),
  );
  return [index, digest, tsMs, said];
}

function textsOf(batches: readonly AcceptedBatch[]): string[] {
  return batches.flatMap(({ payloads }) =>
    payloads.flatMap(({ segments }) =>
      segments
        .filter(({ kind }) => kind === 0)
        .flatMap((segment) => [...messagesOf(segment)].map((m) => Buffer.from(m).toString())),
    ),
  );
}

/** All of `shorter` stands in `longer` at the same places. */
function assertSamePlaces(a: readonly AcceptedBatch[], b: readonly AcceptedBatch[]): void {
  const places = new Map(a.map((batch) => [batch.index, placeOf(batch)]));
  for (const batch of b) {
    const other = places.get(batch.index);
    if (other !== undefined) assert.deepEqual(placeOf(batch), other);
  }
}

async function busy(net: ConformanceNet, perWriter: number): Promise<Set<string>> {
  const sent = new Set<string>();
  for (let i = 0; i < perWriter; i++) {
    for (const writer of net.writers) {
      if (!writer.isUp) continue;
      const text = `${writer.author}/${i}/${sent.size}`;
      sent.add(text);
      writer.submit(1 + i, text);
    }
    await net.run(5 + net.random.below(60));
  }
  return sent;
}

async function started(candidate: Candidate, seed: number): Promise<ConformanceNet> {
  const net = new ConformanceNet(candidate, seed);
  await net.boot();
  return net;
}

const nothingFailed = (net: ConformanceNet): void => assert.deepEqual(net.failed, []);
const first = (net: ConformanceNet): ConformanceWriter => {
  const [writer] = net.writers;
  assert.ok(writer !== undefined);
  return writer;
};

function rangeFrom(
  net: ConformanceNet,
  { store }: Pick<ConformanceWriter, "store">,
  after: number,
): Promise<object> {
  assert.ok(store !== undefined);
  return net.during(store.batches.range(after));
}

/**
 * What every consensus algorithm owes its hosts, through the real host, loop and store. An algorithm that passes can be
 * named in a genesis. `isCrashSafe`: its writers may die and lose their disks, and it says so.
 */
export function conformance(
  candidate: Candidate,
  { isCrashSafe }: { readonly isCrashSafe: boolean },
): void {
  const { name } = candidate.algorithm;

  describe(`${name}: while nobody fails`, () => {
    for (const seed of seeds)
      test(`everything is ordered, once, in one order on all hosts (seed ${seed})`, async () => {
        const net = await started(candidate, seed);
        const sent = await busy(net, 20);
        await net.run(3000);
        nothingFailed(net);
        for (const { accepted, author } of net.writers) {
          assert.deepEqual(
            accepted.map(({ index }) => index),
            accepted.map((_, i) => i + 1),
            "without gaps",
          );
          for (const [i, { tsMs }] of accepted.entries())
            assert.ok(tsMs >= (accepted[i - 1]?.tsMs ?? net.network.startMs), "order time goes on");
          const texts = textsOf(accepted);
          assert.equal(texts.length, sent.size, `at ${author}`);
          assert.deepEqual(new Set(texts), sent);
          assertSamePlaces(first(net).accepted, accepted);
        }
      });

    test("a submission comes back to its submitter with its ticket, and to nobody else", async () => {
      const net = await started(candidate, 11);
      await busy(net, 5);
      await net.run(3000);
      for (const { accepted, author } of net.writers) {
        const tickets = accepted.flatMap(({ payloads }) =>
          payloads.flatMap((payload) => (payload.author === author ? payload.tickets : [])),
        );
        assert.deepEqual(tickets.filter((ticket) => ticket > 0).sort(), [1, 2, 3, 4, 5]);
        const others = accepted.flatMap(({ payloads }) =>
          payloads.filter((payload) => payload.author !== author),
        );
        assert.ok(others.every(({ tickets: theirs }) => theirs.length === 0));
      }
    });
  });

  describe(`${name}: what stands in the log`, () => {
    test("is read back as what was accepted", async () => {
      const net = await started(candidate, 21);
      await busy(net, 10);
      await net.run(3000);
      for (const { store, accepted } of net.writers) {
        const last = accepted.at(-1)?.index ?? 0;
        assert.ok(last > 0);
        assert.ok(store !== undefined);
        const back = await net.during(store.batches.batches(0, last));
        assert.deepEqual(back.map(placeOf), accepted.map(placeOf));
      }
    });

    test("convinces a reader, from any place on, and bent by one bit it does not", async () => {
      const net = await started(candidate, 22);
      await busy(net, 10);
      await net.run(3000);
      const writer = first(net);
      const reader = new ConformanceReader(net);
      await net.during(reader.boot());
      for (let before = -1; before < reader.accepted.length; ) {
        before = reader.accepted.length;
        const range = await rangeFrom(net, writer, before);
        if (!net.network.consensus.isEmptyRange(range)) reader.take(range);
        await net.run(500);
      }
      nothingFailed(net);
      assert.ok(reader.faults.every((code) => code === undefined));
      assert.ok(reader.accepted.length > 0);
      const { accepted } = writer;
      assert.deepEqual(
        reader.accepted.map(placeOf),
        accepted.slice(0, reader.accepted.length).map(placeOf),
      );
      // A reader serves what it was served.
      const again = await rangeFrom(net, reader, 0);
      assert.ok(!net.network.consensus.isEmptyRange(again));
    });

    test("is refused where a byte of it was changed", async () => {
      const net = await started(candidate, 23);
      await busy(net, 3);
      await net.run(3000);
      const { consensus } = net.network;
      const { verifier } = net.signatures;
      const range = await rangeFrom(net, first(net), 0);
      assert.ok(!consensus.isEmptyRange(range));
      const after = { index: 0, digest: consensus.genesisDigest };
      const truth = consensus.verifyRange(range, after, { verifier });
      assert.ok(truth.ok);
      const wire = encode(consensus.rangeValue(range));
      for (let i = 0; i < 200; i++) {
        const bent = Uint8Array.from(wire);
        const at = net.random.below(bent.length);
        bent[at] = (bent[at] ?? 0) ^ (1 << net.random.below(8));
        const value = decode(bent);
        let taken: ReturnType<typeof consensus.verifyRange> | undefined;
        try {
          const read = value.ok ? consensus.rangeShape(value.value, "range") : undefined;
          taken = read && consensus.verifyRange(read, after, { verifier });
        } catch {
          continue;
        }
        // Votes beyond those that are needed may be bent: what was accepted is the same.
        if (taken?.ok)
          assertSamePlaces(
            truth.value.batches.map(({ batch }) => batch),
            taken.value.batches.map(({ batch }) => batch),
          );
      }
    });

    test("nothing counts beyond a batch that is known to be the last, and that one is endorsed already", async () => {
      const net = await started(candidate, 25);
      await busy(net, 5);
      await net.run(3000);
      const { consensus } = net.network;
      const { verifier } = net.signatures;
      const range = await rangeFrom(net, first(net), 0);
      const after = { index: 0, digest: consensus.genesisDigest };
      const whole = consensus.verifyRange(range, after, { verifier });
      assert.ok(whole.ok && whole.value.batches.length > 1);
      const [{ batch: last }] = whole.value.batches as [CertifiedBatch];
      const cut = consensus.verifyRange(range, after, { verifier, until: last });
      assert.ok(cut.ok);
      assert.deepEqual(
        cut.value.batches.map(({ batch }) => placeOf(batch)),
        [placeOf(last)],
      );
      assert.equal(cut.value.certificate, undefined, "nobody looked at what endorses it");
      const nothing = consensus.verifyRange(range, last, { verifier, until: last });
      assert.ok(nothing.ok && nothing.value.batches.length === 0);
    });

    test("nothing certified yet is an empty answer, and no fault of whoever gave it", async () => {
      const net = await started(candidate, 24);
      const range = await rangeFrom(net, first(net), 0);
      assert.ok(net.network.consensus.isEmptyRange(range));
      const after = { index: 0, digest: net.network.consensus.genesisDigest };
      const verified = net.network.consensus.verifyRange(range, after, net.signatures);
      assert.ok(verified.ok && verified.value.batches.length === 0);
    });
  });

  test(`${name}: each kind of misbehaviour has a number and a name of its own`, () => {
    const { misbehaviours } = candidate.algorithm;
    for (const by of ["kind", "code"] as const)
      assert.equal(new Set(misbehaviours.map((one) => one[by])).size, misbehaviours.length);
  });

  if (isCrashSafe) crashes(candidate);
}

function crashes(candidate: Candidate): void {
  const { name } = candidate.algorithm;
  const { f, c } = candidate.faults;

  describe(`${name}: while f + c writers die and come back`, () => {
    for (const seed of seeds)
      for (const how of ["kill", "power"] as const)
        test(`no host takes back what it accepted, and all go on (${how}, seed ${seed})`, async () => {
          const net = await started(candidate, 100 + seed);
          const kept: AcceptedBatch[] = [];
          for (let i = 0; i < 4; i++) {
            await busy(net, 3);
            const down = net.random.shuffled(net.writers).slice(0, f + c);
            for (const writer of down) {
              kept.push(...writer.accepted);
              writer.crash(how);
            }
            await busy(net, 3);
            for (const writer of down) void writer.boot();
            await net.run(500);
          }
          const before = first(net).accepted.length;
          const sent = await busy(net, 3);
          await net.run(8000);
          nothingFailed(net);
          for (const { accepted } of net.writers) {
            assertSamePlaces(kept, accepted);
            assertSamePlaces(first(net).accepted, accepted);
            const texts = new Set(textsOf(accepted));
            for (const text of sent) assert.ok(texts.has(text), `${text} is ordered`);
          }
          assert.ok(first(net).accepted.length > before);
        });

    test("who lost its disk gets the order from the others, and signs again", async () => {
      const net = await started(candidate, 200);
      await busy(net, 10);
      await net.run(2000);
      const lost = net.writers.at(-1);
      assert.ok(lost !== undefined);
      lost.crash("kill");
      lost.disk.remove("/data");
      lost.state.clear();
      await busy(net, 10);
      void lost.boot();
      await net.run(5000);
      const sent = await busy(net, 2);
      await net.run(8000);
      nothingFailed(net);
      assertSamePlaces(first(net).accepted, lost.accepted);
      assert.equal(lost.accepted.at(-1)?.index, first(net).accepted.at(-1)?.index);
      assert.equal(lost.host?.vitals.isSigning, true);
      const texts = new Set(textsOf(first(net).accepted));
      for (const text of sent) assert.ok(texts.has(text), `${text} is ordered`);
    });
  });
}
