import { Author } from "../src/core/base/index.ts";
import { blockFromWire } from "../src/core/dag/index.ts";
import { messageKinds } from "../src/core/mirror/index.ts";
import { type DetectorChoice, defaultDetector, type Opinion } from "../src/core/opinion/index.ts";
import { equivocator } from "./adversaries.ts";
import type { SimWriter } from "./host.ts";
import { decodeMessage } from "./messages.ts";
import { planOf, troubles } from "./plan.ts";
import { type Letter, letters, type Situation, type Stage } from "./situations.ts";
import { Timeline } from "./timeline.ts";
import { World } from "./world.ts";

/** Quick to judge, so that a situation fits a picture. */
export const situationDetector: DetectorChoice = {
  ...defaultDetector,
  detector: "fixed",
  suspectAfterMs: 300,
  deadAfterMs: 60_000,
  probeEveryMs: 200,
};

/** What a situation came to. */
export interface Played {
  /** Undefined if all invariants held. */
  readonly failure: string | undefined;
  /** Messages in their order, at each correct host; the canonical order cut to what the host has. */
  readonly sequences: ReadonlyMap<Letter, readonly string[]>;
  /** Looks that did not see what they should. */
  readonly missed: readonly string[];
  /** Hosts that evidence convicted. */
  readonly convicted: readonly Letter[];
  /** Who got whose first block with payload when, milliseconds: `A>C`. */
  readonly firstSeen: ReadonlyMap<string, number>;
  /** The space–time picture. */
  readonly svg: string;
}

const indexOf = (letter: Letter): number => letters.indexOf(letter);
const idOf = (letter: Letter): string => `w${indexOf(letter)}`;

class SimStage implements Stage {
  readonly #world: World;
  readonly writers: readonly SimWriter[];

  constructor(world: World) {
    this.#world = world;
    this.writers = world.writers;
  }

  #writer(letter: Letter): SimWriter {
    const writer = this.writers[indexOf(letter)];
    if (writer === undefined) throw new Error(`there is no ${letter}`);
    return writer;
  }

  append(host: Letter, text: string): void {
    const writer = this.#writer(host);
    this.#world.submitted.set(text, writer.id);
    writer.append(Buffer.from(text));
  }

  hold(from: Letter, to: Letter): void {
    this.#world.links.block(idOf(from), idOf(to));
  }

  release(from: Letter, to: Letter): void {
    this.#world.links.unblock(idOf(from), idOf(to));
  }

  decide(host: Letter, about: Letter, opinion: "suspected" | "dead"): void {
    this.#writer(host).decide(Author(indexOf(about)), opinion);
  }

  fail(host: Letter): void {
    const writer = this.#writer(host);
    writer.crash("kill");
    writer.isGone = true;
  }

  opinion(host: Letter, about: Letter): Opinion | undefined {
    return this.#writer(host).machine?.vitals.opinions.find((one) => one.about === indexOf(about))
      ?.opinion;
  }
}

function worldOf(situation: Situation): World {
  const plan = planOf(situation.number, { n: 4, off: troubles, cheats: 0, readers: 0 });
  const corrupt = new Map<number, string>();
  const rule = { name: "three", budget: { n: 4, f: 1, c: 0, k: 0 } } as const;
  const world = new World({ ...plan, corrupt, rule, leaders: 4, isShort: false, syncMs: 1 });
  for (const writer of world.writers) {
    writer.detector = situationDetector;
    writer.isPublishing = true;
  }
  const cheater = situation.cheater && world.writers[indexOf(situation.cheater)];
  if (cheater !== undefined) {
    cheater.isHonest = false;
    equivocator.corrupt(cheater, world);
  }
  world.links.weather = { delayMs: 20, tail: 0, clog: 0, cut: 0, bandwidth: 1e6 };
  return world;
}

/** Plays one situation in the simulated world: the unmodified hosts, and nothing left to chance. */
export async function play(situation: Situation): Promise<Played> {
  const world = worldOf(situation);
  const names = new Map(letters.map((letter) => [idOf(letter), letter]));
  const timeline = new Timeline(situation.window, { kinds: ["block", "blocks", "fetch"], names });
  timeline.watch(world);
  const firstSeen = watchFirst(world);
  const stage = new SimStage(world);
  const missed: string[] = [];
  const { scheduler, check } = world;
  for (const step of situation.steps)
    scheduler.after(step.atMs, () => {
      world.note("trouble", idOf(step.host), step.says);
      step.act(stage);
    });
  for (const look of situation.looks)
    scheduler.after(look.atMs, () => {
      const seen = stage.opinion(look.host, look.about);
      if (seen === undefined || !look.opinions.includes(seen))
        missed.push(`${look.host} on ${look.about} at ${look.atMs} ms: ${seen}`);
    });
  await world.start();
  await scheduler.run(situation.endMs, () => check.failure === undefined);
  const sequences = new Map<Letter, readonly string[]>();
  for (const letter of situation.correct) {
    const host = stage.writers[indexOf(letter)];
    const count = host?.machine?.state.messages ?? 0;
    sequences.set(letter, check.messages.slice(0, count));
  }
  const convicted = letters.filter((letter) =>
    situation.correct.every((correct) =>
      stage.writers[indexOf(correct)]?.machine?.state.convicted.has(Author(indexOf(letter))),
    ),
  );
  const svg = timeline.svg(`Situation ${situation.number}: ${situation.title}`);
  return { failure: check.failure, sequences, missed, convicted, firstSeen, svg };
}

/** When a host got the first block with messages that another one made, from its maker: `A>C`. */
function watchFirst(world: World): ReadonlyMap<string, number> {
  const firstSeen = new Map<string, number>();
  world.links.onDelivered = (from, to, frame) => {
    const message = decodeMessage(frame);
    if (!message.ok || message.value.type !== "block") return;
    const block = blockFromWire(message.value.wire);
    if (!block.ok || idOf(letters[block.value.ref.author] ?? "A") !== from) return;
    const isSaid = block.value.segments.some(({ kind }) => kind === messageKinds.application);
    const key = `${letters[block.value.ref.author]}>${letters[Number(to.slice(1))]}`;
    if (isSaid && !firstSeen.has(key)) firstSeen.set(key, world.scheduler.nowMs);
  };
  return firstSeen;
}
