/** Writers of the six drawn situations, as the poster calls them. */
export type Letter = "A" | "B" | "C" | "D";
export const letters: readonly Letter[] = ["A", "B", "C", "D"];

/** Where a situation is played: the simulated world, or real processes. */
export interface Stage {
  /** A client gives a message to a host. */
  append(host: Letter, text: string): void;
  /** What one sends the other is on its way, and does not arrive. */
  hold(from: Letter, to: Letter): void;
  release(from: Letter, to: Letter): void;
  /** The operator of a host decides. */
  decide(host: Letter, about: Letter, opinion: "suspected" | "dead"): void;
  /** The host fails, for good. */
  fail(host: Letter): void;
}

interface Step {
  readonly atMs: number;
  readonly says: string;
  readonly host: Letter;
  readonly act: (stage: Stage) => void;
}

/** What a host must think of another one then: else the situation did not come about. */
interface Look {
  readonly atMs: number;
  readonly host: Letter;
  readonly about: Letter;
  readonly opinions: readonly string[];
}

/** One of the six situations of the poster on the Byzantine Mirroring System, n = 4, f = 1. */
export interface Situation {
  readonly number: number;
  readonly title: string;
  /** Shows half of the others another block for each round, from the beginning. */
  readonly cheater: Letter | undefined;
  readonly steps: readonly Step[];
  readonly looks: readonly Look[];
  /** Those that must end with the same sequence. */
  readonly correct: readonly Letter[];
  /** Messages that must be in it. */
  readonly ordered: readonly string[];
  readonly endMs: number;
  readonly window: { readonly fromMs: number; readonly toMs: number };
}

const others = (host: Letter): readonly Letter[] => letters.filter((letter) => letter !== host);

function append(atMs: number, host: Letter, text: string): Step {
  return { atMs, host, says: `${host} gets "${text}"`, act: (stage) => stage.append(host, text) };
}

function hold(atMs: number, from: Letter, to: readonly Letter[]): Step {
  return {
    atMs,
    host: from,
    says: `what ${from} sends to ${to.join(", ")} is held up`,
    act: (stage) => {
      for (const one of to) stage.hold(from, one);
    },
  };
}

function release(atMs: number, from: Letter, to: readonly Letter[]): Step {
  return {
    atMs,
    host: from,
    says: `it reaches ${to.join(", ")}`,
    act: (stage) => {
      for (const one of to) stage.release(from, one);
    },
  };
}

function decides(atMs: number, host: Letter, about: Letter): Step {
  return {
    atMs,
    host,
    says: `${host} decides: ${about} is dead`,
    act: (stage) => stage.decide(host, about, "dead"),
  };
}

/** Something to order all the while, so that whoever is silent is missed. */
function traffic(fromMs: number, toMs: number, hosts: readonly Letter[]): readonly Step[] {
  const steps: Step[] = [];
  for (let i = 0; fromMs + 300 * i <= toMs; i++) {
    const host = hosts[i % hosts.length] ?? "A";
    steps.push(append(fromMs + 300 * i, host, `${host.toLowerCase()}${i}`));
  }
  return steps;
}

const first: Situation = {
  number: 1,
  title: "two updates are first seen in opposite orders",
  cheater: undefined,
  steps: [
    hold(900, "A", ["C"]),
    hold(900, "B", ["D"]),
    append(1000, "A", "from A"),
    append(1000, "B", "from B"),
    release(1500, "A", ["C"]),
    release(1500, "B", ["D"]),
  ],
  looks: [],
  correct: letters,
  ordered: ["from A", "from B"],
  endMs: 4000,
  window: { fromMs: 850, toMs: 1800 },
};

const second: Situation = {
  number: 2,
  title: "both suspect C; B changes its mind when A has decided already that C is dead",
  cheater: undefined,
  steps: [
    ...traffic(700, 3700, ["A", "D"]),
    hold(900, "C", others("C")),
    append(1000, "C", "late, from C"),
    decides(2200, "A", "C"),
    release(2500, "C", ["B"]),
    release(3400, "C", ["A", "D"]),
  ],
  looks: [
    { atMs: 2000, host: "A", about: "C", opinions: ["suspected"] },
    { atMs: 2000, host: "B", about: "C", opinions: ["suspected"] },
    { atMs: 3300, host: "A", about: "C", opinions: ["dead"] },
    { atMs: 3300, host: "B", about: "C", opinions: ["ok"] },
  ],
  correct: letters,
  ordered: ["late, from C", "a0", "d1"],
  endMs: 6500,
  window: { fromMs: 2100, toMs: 2900 },
};

const third: Situation = {
  number: 3,
  title: "A and B share their opinion on C, yet only B refuses the late update",
  cheater: undefined,
  steps: [
    decides(700, "A", "C"),
    decides(700, "B", "C"),
    hold(900, "C", ["B"]),
    append(1000, "C", "late, from C"),
    append(1000, "A", "from A"),
    append(1000, "D", "from D"),
    release(1700, "C", ["B"]),
  ],
  looks: [
    { atMs: 1000, host: "A", about: "C", opinions: ["dead"] },
    { atMs: 1000, host: "B", about: "C", opinions: ["dead"] },
  ],
  correct: letters,
  ordered: ["late, from C", "from A", "from D"],
  endMs: 4500,
  window: { fromMs: 850, toMs: 1800 },
};

const fourth: Situation = {
  number: 4,
  title: "B sends two different messages with one id, and both are taken before it is seen",
  cheater: "B",
  steps: [
    append(1000, "A", "from A"),
    append(1000, "B", "from B"),
    append(1000, "C", "from C"),
    append(1800, "D", "from D"),
  ],
  looks: [],
  correct: ["A", "C", "D"],
  ordered: ["from A", "from C", "from D"],
  endMs: 4500,
  window: { fromMs: 950, toMs: 1500 },
};

const fifth: Situation = {
  number: 5,
  title: "C and D suspect A, which is only slow; B cheats; C learns it, D has all that it needs",
  cheater: "B",
  steps: [
    ...traffic(700, 3100, ["C", "D"]),
    hold(900, "A", others("A")),
    append(1000, "A", "late, from A"),
    release(2800, "A", others("A")),
  ],
  looks: [
    { atMs: 2400, host: "C", about: "A", opinions: ["suspected", "dead"] },
    { atMs: 2400, host: "D", about: "A", opinions: ["suspected", "dead"] },
  ],
  correct: ["A", "C", "D"],
  ordered: ["late, from A", "c0", "d1"],
  endMs: 7000,
  window: { fromMs: 2500, toMs: 3300 },
};

const sixth: Situation = {
  number: 6,
  title: "for D all is as in 5, but A has really failed: waiting longer would never end",
  cheater: undefined,
  steps: [
    ...traffic(700, 3700, ["C", "D"]),
    {
      atMs: 900,
      host: "A",
      says: "A fails",
      act: (stage) => stage.fail("A"),
    },
  ],
  looks: [
    { atMs: 3500, host: "C", about: "A", opinions: ["suspected", "dead"] },
    { atMs: 3500, host: "D", about: "A", opinions: ["suspected", "dead"] },
  ],
  correct: ["B", "C", "D"],
  ordered: ["c0", "d1", "c10"],
  endMs: 5500,
  window: { fromMs: 800, toMs: 1800 },
};

export const situations: readonly Situation[] = [first, second, third, fourth, fifth, sixth];
