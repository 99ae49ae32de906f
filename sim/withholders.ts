import { type Author, Author as authorOf, limits, Round } from "../src/core/base/index.ts";
import {
  type Block,
  type CommitVote,
  dagConfigOf,
  genesisRef,
  type Ref,
} from "../src/core/dag/index.ts";
import { type Adversary, frameOf, ownBlock, perFrame, randomDigest, through } from "./adversary.ts";
import { withPayload } from "./forge.ts";
import type { SimWriter } from "./host.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "./messages.ts";
import type { AdversaryName } from "./plan.ts";
import { Puppet, type Strings } from "./puppet.ts";
import type { Realm } from "./realm.ts";

/** Cheats against liveness: what is needed is withheld, and what is sent is made to cost. */

interface Stage {
  readonly writer: SimWriter;
  readonly world: Realm;
  readonly puppet: () => Puppet;
}

function puppetry(
  name: AdversaryName,
  says: string,
  strings: (stage: Stage) => Partial<Strings>,
): Adversary {
  return {
    name,
    says,
    corrupt: (writer, world) => {
      const stage: Stage = { writer, world, puppet: () => puppet };
      const all: Strings = {
        shows: () => true,
        votes: () => [],
        junk: () => [],
        takesPart: () => true,
        ...strings(stage),
      };
      const puppet: Puppet = new Puppet(writer, world, { ...all, acts: () => world.misdeed(name) });
      writer.puppet = puppet;
    },
  };
}

const abstainer = puppetry(
  "abstainer",
  "takes part in every round, and gives no vote, no cosignature and no answer",
  () => ({}),
);

/** Its blocks are needed for the quorum, and only some have them; who they are changes now and then. */
const divider = puppetry("divider", "shows its blocks to one half of the others only", () => ({
  shows: ({ ref }, peer) => (Math.floor(ref.round / 20) + peer) % 2 === 0,
}));

const hoarder = puppetry(
  "hoarder",
  "fills its room at one of the others with junk, then keeps from it a block that all need",
  ({ puppet }) => {
    const isVictim = ({ ref }: Block, peer: Author): boolean =>
      (Math.floor(ref.round / 40) + peer) % 3 === 0;
    return {
      junk: (block, peer) => {
        if (!isVictim(block, peer) || block.ref.round % 10 !== 0) return [];
        const low = Math.max(2, block.ref.round - 20);
        return puppet().inventions(limits.suspendedBlocksMax / 3, low);
      },
      shows: (block, peer) => !isVictim(block, peer),
    };
  },
);

/** Numbers at the edges of what their fields hold. */
const edges = [0, 1, 2 ** 16, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER] as const;

const sniper = puppetry(
  "sniper",
  "signs blocks and votes with numbers that make a loop long and a look far",
  ({ world, writer, puppet }) => {
    const votes = (): CommitVote[] => {
      const from = edges[world.random.below(edges.length)] ?? 0;
      const first = Math.max(1, Math.min(from, Number.MAX_SAFE_INTEGER - limits.commitVotesMax));
      return Array.from({ length: limits.commitVotesMax }, (_, i) => ({
        index: first + i,
        digest: randomDigest(world),
      }));
    };
    const far = (round: number): Block[] => {
      const config = dagConfigOf(world.network);
      const others = Array.from({ length: config.rule.n }, (_, i) => authorOf(i)).filter(
        (author) => author !== writer.author,
      );
      const below: Ref[] = others.map((author) => ({
        round: Round(round - 1),
        author,
        digest: randomDigest(world),
      }));
      const block = puppet().make(round, [genesisRef(config, writer.author), ...below]);
      return block === undefined ? [] : [block];
    };
    return {
      votes,
      junk: ({ ref }) =>
        ref.round % 8 === 0
          ? edges.filter((round) => round > 1 && round < 2 ** 32).flatMap(far)
          : [],
      takesPart: (round) => round % 16 < 12,
    };
  },
);

/** Kinds of messages that are withheld from some for a whole seed. */
const kinds = [
  "cosignature",
  "hello",
  "blocks",
  "range",
  "inventory",
  "evidence",
  "block",
] as const;

const reticent: Adversary = {
  name: "reticent",
  says: "says some kinds of things to some of the others only, for good",
  corrupt: (writer, world) => {
    const kept = new Set<string>();
    for (const kind of kinds)
      for (const { author } of world.writers)
        if (world.random.chance(kind === "block" || kind === "hello" ? 0.15 : 0.4))
          kept.add(`${kind} ${author}`);
    through(writer, (frame, peer) => {
      const message = decodeMessage(frame);
      if (!message.ok || !kept.has(`${message.value.type} ${peer}`)) return [{ frame }];
      world.misdeed("reticent");
      return [];
    });
  },
};

function numbered(message: PeerMessage, value: number, isRare: boolean): PeerMessage | undefined {
  const round = Round(Math.min(value, 2 ** 32 - 1));
  switch (message.type) {
    case "hello":
      return isRare
        ? { ...message, epoch: value }
        : { ...message, lastCommit: value, fromRound: round };
    case "sync":
      return { ...message, after: value };
    case "inventory-wanted":
      return { ...message, fromRound: round };
    case "cosignature":
      return { ...message, size: value, timeS: Math.min(value, 2 ** 48 - 1) };
    case "fetch":
    case "seen":
    case "inventory":
      return { ...message, refs: message.refs.map((ref) => ({ ...ref, round })) };
    default:
      return undefined;
  }
}

const numerologist = perFrame(
  "numerologist",
  "puts numbers at the edge of their range into every field of what it says",
  (frame, { world }) => {
    const message = decodeMessage(frame);
    if (!message.ok || !world.random.chance(0.3)) return undefined;
    const value = edges[world.random.below(edges.length)] ?? 0;
    const changed = numbered(message.value, value, world.random.chance(0.1));
    return changed && [{ frame: encodeMessage(changed) }];
  },
);

/** As many as a message may have of what is not there. */
function refsOf(world: Realm, count: number, round: number): Ref[] {
  const { n } = world.network.faults;
  return Array.from({ length: count }, (_, i) => ({
    round: Round(Math.min(round + (i % 8), 2 ** 32 - 1)),
    author: authorOf(i % n),
    digest: randomDigest(world),
  }));
}

const filler: Adversary = {
  name: "filler",
  says: "fills every message to its limit, and signs as many faults as are proven against one host",
  corrupt: (writer, world) => {
    let left = limits.evidencePerHostMax + 2;
    through(writer, (frame, peer) => {
      const block = ownBlock(writer, frame);
      if (block === undefined || !world.random.chance(0.1)) return [{ frame }];
      world.misdeed("filler");
      const { round } = block.ref;
      const more = [
        { type: "fetch", refs: refsOf(world, limits.fetchRefsMax, round) },
        { type: "seen", refs: refsOf(world, limits.fetchRefsMax, round) },
        { type: "inventory", refs: refsOf(world, limits.inventoryRefsMax, round) },
      ] as const;
      const frames = more.map((message) => ({ frame: encodeMessage(message) }));
      if (peer % 2 === 1 || left-- <= 0) return [{ frame }, ...frames];
      // No payload at all, of a size with which the proof is as long as the order takes one.
      const payload = Buffer.alloc(limits.evidenceBytesMax - 1024 - world.random.below(512), 0xff);
      const wrong = withPayload({ world, writer }, block, payload);
      return [{ frame }, ...frames, { frame: frameOf(wrong) }];
    });
  },
};

const burstEveryMs = 20;

const flooder: Adversary = {
  name: "flooder",
  says: "sends the smallest frames there are, by the hundred",
  corrupt: (writer, world) => {
    const small = (["probe", "nudge", "probed"] as const).map((type) => encodeMessage({ type }));
    let sent = 0;
    const nextMs = new Map<Author, number>();
    through(writer, (frame, peer) => {
      const { nowMs } = world.scheduler;
      if (++sent % 20 !== 0 || nowMs < (nextMs.get(peer) ?? 0)) return [{ frame }];
      // Two of them would answer one another's floods with floods, without end.
      nextMs.set(peer, nowMs + burstEveryMs);
      world.misdeed("flooder");
      const burst = Array.from({ length: 300 }, (_, i) => ({ frame: small[i % 3] ?? frame }));
      return [{ frame }, ...burst];
    });
  },
};

const truant = puppetry(
  "truant",
  "makes a block every fifth round only, and is punctual in it",
  () => ({
    takesPart: (round) => round % 5 === 0,
  }),
);

const boaster: Adversary = {
  name: "boaster",
  says: "says that it is far ahead, and comes back to say it again",
  corrupt: (writer, world) => {
    through(writer, (frame) => {
      const message = decodeMessage(frame);
      if (!message.ok || message.value.type !== "hello") return [{ frame }];
      world.misdeed("boaster");
      return [{ frame: encodeMessage({ ...message.value, lastCommit: Number.MAX_SAFE_INTEGER }) }];
    });
    const again = (): void => {
      for (const { author } of world.writers)
        if (author !== writer.author) world.links.ban(writer.id, author, 20);
      world.scheduler.after(3000 + world.random.below(3000), again);
    };
    world.scheduler.after(2000, again);
  },
};

export const withholders: readonly Adversary[] = [
  abstainer,
  divider,
  hoarder,
  sniper,
  reticent,
  numerologist,
  filler,
  flooder,
  boaster,
  truant,
];
