import { type Author, Round } from "../src/core/base/index.ts";
import { type Block, blockFromWire, nameOf, type VerifiedBlock } from "../src/core/dag/index.ts";
import {
  type Adversary,
  frameOf,
  ownBlock,
  perBlock,
  perFrame,
  randomDigest,
  through,
} from "./adversary.ts";
import { forged, recosigned } from "./forge.ts";
import { decodeMessage, encodeMessage } from "./messages.ts";
import { withholders } from "./withholders.ts";

export const equivocator: Adversary = perBlock(
  "equivocator",
  "shows odd and even writers different blocks of a round",
  (block, { world, writer, peer }) =>
    peer % 2 === 0
      ? undefined
      : [{ frame: frameOf(forged({ world, writer }, block, { tsMs: block.header.tsMs + 1 })) }],
);

const mutator = perBlock(
  "mutator",
  "changes one small thing in some of its blocks and signs them again",
  (block, { world, writer }) => {
    if (!world.random.chance(0.3)) return undefined;
    const { header } = block;
    const changes = [
      { round: Round(header.round + 1) },
      { round: Round(Math.max(1, header.round - 1)) },
      { tsMs: world.random.below(2 ** 40) },
      { parents: header.parents.slice(0, -1) },
      { parents: header.parents.toReversed() },
      { commitVotes: header.commitVotes.toReversed() },
      { epoch: header.epoch + 1 },
      { author: ((header.author + 1) % world.network.writers.length) as Author },
      { payload: { ...header.payload, bytes: header.payload.bytes + 1 } },
      { group: randomDigest(world) },
    ];
    const change = changes[world.random.below(changes.length)] ?? {};
    return [{ frame: frameOf(forged({ world, writer }, block, change)) }];
  },
);

const inventor = perBlock(
  "inventor",
  "names parents that nobody ever made",
  (block, { world, writer }) => {
    if (!world.random.chance(0.3)) return undefined;
    const parents = block.header.parents.map((parent, i) =>
      i === 1 ? { ...parent, digest: randomDigest(world) } : parent,
    );
    return [{ frame: frameOf(forged({ world, writer }, block, { parents })) }];
  },
);

const voter = perBlock("voter", "votes for commits that never were", (block, { world, writer }) => {
  if (block.header.commitVotes.length === 0) return undefined;
  const commitVotes = block.header.commitVotes.map((vote) => ({
    ...vote,
    digest: randomDigest(world),
  }));
  return [{ frame: frameOf(forged({ world, writer }, block, { commitVotes })) }];
});

const futurist = perBlock(
  "futurist",
  "floods the others with blocks of the far future",
  (block, { world, writer }) => {
    if (!world.random.chance(0.2)) return undefined;
    const junk = Array.from({ length: 20 }, (_, i) => {
      const round = Round(block.header.round + 1000 + i);
      const parents = block.header.parents.map((parent) => ({
        ...parent,
        round: Round(round - 1),
        digest: randomDigest(world),
      }));
      return { frame: frameOf(forged({ world, writer }, block, { round, parents })) };
    });
    return [{ frame: frameOf(block) }, ...junk];
  },
);

/** Blocks that another writer never made, referenced as if it had, and handed out to whoever asks. */
const impostor: Adversary = {
  name: "impostor",
  says: "makes blocks in the name of others, and builds upon them",
  corrupt: (writer, world) => {
    const made: Block[] = [];
    const imitate = (block: VerifiedBlock): Block => {
      const [own, ...others] = block.header.parents;
      const [victim] = world.random.shuffled(others);
      const wire = victim && writer.machine?.recent(nameOf(victim));
      const read = wire && blockFromWire(wire);
      const real = read?.ok ? read.value : undefined;
      if (own === undefined || real === undefined) return block;
      const fake = forged({ world, writer }, real, { tsMs: real.header.tsMs + 1 });
      made.push(fake);
      const parents = block.header.parents.map((ref) => (ref === victim ? fake.ref : ref));
      return forged({ world, writer }, block, { parents });
    };
    through(writer, (frame) => {
      const message = decodeMessage(frame);
      if (message.ok && message.value.type === "blocks") {
        const wires = [...message.value.wires, ...made.slice(-20).map(({ wire }) => wire)];
        return [{ frame: encodeMessage({ type: "blocks", wires }) }];
      }
      const block = ownBlock(writer, frame);
      if (block === undefined || !world.random.chance(0.1)) return [{ frame }];
      world.misdeed("impostor");
      return [{ frame: frameOf(imitate(block)) }];
    });
  },
};

const silent = perFrame("silent", "says hello and nothing else", (frame) => {
  const message = decodeMessage(frame);
  return message.ok && message.value.type === "hello" ? undefined : [];
});

const slowSender = perFrame(
  "slow",
  "sends everything just before the others lose patience",
  (frame) => [{ frame, extraMs: 200 }],
);

const withholder = perFrame(
  "withholder",
  "keeps its blocks and answers from some writers",
  (_, { world, peer }) =>
    (Math.floor(world.scheduler.nowMs / 3000) + peer) % 3 === 0 ? [] : undefined,
);

const garbler = perFrame("garbler", "sends bytes that are no messages", (frame, { world }) => {
  if (!world.random.chance(0.1)) return undefined;
  const bytes = Buffer.from(frame);
  const at = world.random.below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << world.random.below(8));
  return [{ frame: world.random.chance(0.5) ? bytes : bytes.subarray(0, at) }];
});

const replayer: Adversary = {
  name: "replayer",
  says: "says again what it said long ago",
  corrupt: (writer, world) => {
    const kept: Uint8Array[] = [];
    through(writer, (frame) => {
      if (kept.length < 500) kept.push(frame);
      else kept[world.random.below(500)] = frame;
      if (!world.random.chance(0.2)) return [{ frame }];
      world.misdeed("replayer");
      return [{ frame }, { frame: kept[world.random.below(kept.length)] ?? frame }];
    });
  },
};

const miscosigner = perFrame(
  "miscosigner",
  "cosigns roots that are not the log's",
  (frame, { world, writer }) => {
    const message = decodeMessage(frame);
    if (!message.ok || message.value.type !== "cosignature") return undefined;
    return [{ frame: recosigned(world, writer, message.value) }];
  },
);

const falseHolder: Adversary = {
  name: "false-holder",
  says: "says that it holds content that it never fetched",
  corrupt: (writer, world) => {
    writer.isHeldFalsely = true;
    world.misdeed("false-holder");
  },
};

const clockLiar: Adversary = {
  name: "clock-liar",
  says: "has a clock that is days off and jumps",
  corrupt: (writer, world) => {
    const jump = (): void => {
      writer.skewMs = (world.random.below(2001) - 1000) * 86_400;
      world.misdeed("clock-liar");
      world.scheduler.after(2000 + world.random.below(4000), jump);
    };
    jump();
  },
};

const amnesiac: Adversary = {
  name: "amnesiac",
  says: "comes back from the state in which it was installed, and signs old rounds again",
  corrupt: (writer, world) => {
    const forget = async (): Promise<void> => {
      world.misdeed("amnesiac");
      writer.crash("kill");
      writer.loseAll();
      await writer.install();
      await writer.boot();
      world.scheduler.after(5000 + world.random.below(5000), () => void forget());
    };
    world.scheduler.after(5000 + world.random.below(5000), () => void forget());
  },
};

/** Two copies of one identity; the schedule decides who sees which. The second copy is made by the world. */
const twins: Adversary = {
  name: "twins",
  says: "runs twice with one key, and shows each half of the others another of the two",
  corrupt: (writer, world) => {
    const twin = world.addTwin(writer);
    const { far } = world;
    const isTwin = (peer: Author): boolean =>
      world.plan.corrupt.get(peer)?.startsWith("twins") === true;
    through(writer, (frame, peer) => (far.has(peer) && !isTwin(peer) ? [] : [{ frame }]));
    through(twin, (frame, peer) => (far.has(peer) || isTwin(peer) ? [{ frame }] : []));
    const divide = (): void => {
      const honest = world.writers.filter(({ isHonest }) => isHonest);
      for (const { author } of world.random
        .shuffled(honest)
        .slice(0, Math.ceil(honest.length / 2))) {
        if (!far.delete(author)) far.add(author);
        // Whoever is shown the other copies has lost its links and finds them again.
        for (const cheat of world.plan.corrupt.keys())
          world.links.ban(world.writers[cheat]?.id ?? "", author, 20);
      }
      world.misdeed("twins");
      world.divided();
      world.scheduler.after(2000 + world.random.below(6000), divide);
    };
    // One schedule for all twins: they conspire.
    const [first] = world.plan.corrupt.keys();
    if (first === writer.author) world.scheduler.after(500, divide);
    else world.misdeed("twins");
  },
};

export const adversaries: readonly Adversary[] = [
  twins,
  equivocator,
  mutator,
  inventor,
  impostor,
  voter,
  futurist,
  silent,
  slowSender,
  withholder,
  garbler,
  replayer,
  miscosigner,
  falseHolder,
  clockLiar,
  amnesiac,
  ...withholders,
];
