import { Prng } from "../src/core/base/index.ts";
import type { FaultBudget } from "../src/core/consensus/index.ts";
import { commitRule, type RuleName } from "../src/core/dag/index.ts";
import type { DiskPlan } from "./disk.ts";
import { lies } from "./lies.ts";
import type { Weather } from "./network.ts";

/** Kinds of trouble that a seed turns on or off; shrinking turns them off one by one. */
export const troubles = [
  "crashes",
  "power-cuts",
  "blackouts",
  "partitions",
  "one-way",
  "flapping",
  "storms",
  "clogs",
  "cuts",
  "disk-errors",
  "wipes",
  "rot",
  "backups",
  "skew",
  "pauses",
  "swizzles",
  "lying-syncs",
  "misdirections",
  "doubles",
] as const;
export type Trouble = (typeof troubles)[number];

/** How a writer can cheat; `adversaries.ts` has what each does. */
export const adversaryNames = [
  "twins",
  "equivocator",
  "mutator",
  "inventor",
  "impostor",
  "voter",
  "futurist",
  "silent",
  "slow",
  "withholder",
  "garbler",
  "replayer",
  "miscosigner",
  "false-holder",
  "clock-liar",
  "amnesiac",
  "abstainer",
  "divider",
  "hoarder",
  "sniper",
  "reticent",
  "numerologist",
  "filler",
  "flooder",
  "boaster",
  "truant",
] as const;
/** Cheats that go with any other one: a cheater has up to two of them beside its own. */
const besideNames = ["reticent", "numerologist", "filler", "flooder", "boaster"] as const;
export type AdversaryName = (typeof adversaryNames)[number];

/** What the hostile publisher may write, and updates that are taken of it in an hour: it asks for more. */
export const malloryRights = { tree: "gamma", perHour: 8 };

/** Everything that a seed decides before the first event. */
export interface Plan {
  readonly seed: number;
  readonly n: number;
  readonly rule: { readonly name: RuleName; readonly budget: FaultBudget };
  readonly leaders: number;
  readonly readers: number;
  /** Writer → how it cheats: names, with `+` between them. */
  readonly corrupt: ReadonlyMap<number, string>;
  /** Nothing troubles this world but its cheaters: then it must go on all the time. */
  readonly isCalm: boolean;
  /** Readers that lie, and how. */
  readonly liars: ReadonlyMap<number, string>;
  readonly troubles: ReadonlySet<Trouble>;
  readonly weather: Weather;
  /** Mean milliseconds of a sync. */
  readonly syncMs: number;
  /** Mean milliseconds between two requests of clients. */
  readonly everyMs: number;
  readonly stormMs: number;
  readonly healMs: number;
  readonly isRealCrypto: boolean;
  /** A publisher does whatever costs others something. */
  readonly hasMallory: boolean;
  /** Before the core is healed there is one writer too few for a while: nothing new may be accepted then. */
  readonly isShort: boolean;
  readonly fault: HostFault | undefined;
}

/** One fault of a crash matrix, at the n-th durable step of a host's first life. */
export interface HostFault extends DiskPlan {
  /** `w0`, `r1`. */
  readonly host: string;
}

/** Numbers of writers that a plan can have. */
export const committeeSizes = [1, 4, 5, 6, 7, 10, 13] as const;

type Row = readonly [RuleName, Omit<FaultBudget, "n">];

/** Rows that are safe for a number of writers, with the faults they bear. */
const rows: Readonly<Record<number, readonly Row[]>> = {
  1: [["three", { f: 0, c: 0, k: 0 }]],
  4: [
    ["three", { f: 1, c: 0, k: 0 }],
    ["dual", { f: 1, c: 0, k: 0 }],
  ],
  5: [["three", { f: 1, c: 0, k: 0 }]],
  6: [
    ["three", { f: 1, c: 0, k: 0 }],
    ["two", { f: 1, c: 0, k: 0 }],
    ["dual", { f: 1, c: 0, k: 2 }],
  ],
  7: [
    ["three", { f: 2, c: 0, k: 0 }],
    ["dual", { f: 1, c: 1, k: 1 }],
  ],
  10: [["three", { f: 3, c: 0, k: 0 }]],
  13: [["three", { f: 4, c: 0, k: 0 }]],
};
/** Small committees more often: they reach deep states sooner. */
const drawnSizes = [1, 1, ...Array<number>(55).fill(4), 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 10, 13];

/** Mostly little is asked for, so that a seed is cheap; now and then all are busy. */
const requestsEveryMs = [500, ...Array<number>(5).fill(2000), ...Array<number>(14).fill(5000)];

function pick<T>(random: Prng, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

export interface PlanOptions {
  readonly n?: number;
  readonly adversary?: string;
  readonly off?: readonly Trouble[];
  readonly stormMs?: number;
  /** Cheaters, whatever the row bears: more than f are the control experiment. */
  readonly cheats?: number;
  readonly readers?: number;
  readonly fault?: HostFault;
}

/** Draws a plan from a seed; what `options` fix is fixed, the rest is as the seed has it. */
export function planOf(seed: number, options: PlanOptions = {}): Plan {
  const random = new Prng(seed);
  const drawn = pick(random, drawnSizes);
  const n = options.n ?? drawn;
  const rule = drawRule(random, n);
  const plain = drawCheaters(random, rule.budget, options);
  // Drawn by a hand of its own, so that the rest of a seed is what it was.
  const beside = new Prng(seed ^ 0xadd);
  const corrupt = new Map(
    [...plain].map(([author, name]) => [author, withBeside(name, beside, options)]),
  );
  const isCalm = corrupt.size > 0 && beside.chance(0.25);
  const drawnReaders = random.below(3);
  const readers = options.readers ?? drawnReaders;
  const liars = drawLiars(random, readers);
  const drawnTroubles = troubles.filter(() => random.chance(0.3) && !isCalm);
  const on = new Set(drawnTroubles.filter((trouble) => !options.off?.includes(trouble)));
  const isLarge = n > 7;
  return {
    seed,
    n,
    rule,
    leaders: 1 + random.below(Math.min(n, 4)),
    readers,
    corrupt,
    isCalm: isCalm || (corrupt.size > 0 && on.size === 0),
    liars,
    troubles: on,
    weather: drawWeather(random, on),
    syncMs: pick(random, [0.5, 3, 10]),
    everyMs: options.fault === undefined ? pick(random, requestsEveryMs) : 700,
    stormMs: options.stormMs ?? (isLarge ? 10_000 : 25_000),
    healMs: 35_000,
    isRealCrypto: random.chance(0.01),
    isShort: random.chance(0.1) && options.fault === undefined,
    hasMallory: new Prng(seed ^ 0xbad).chance(0.3) && options.fault === undefined,
    fault: options.fault,
  };
}

function drawRule(random: Prng, n: number): Plan["rule"] {
  const [name, faults] = pick(
    random,
    rows[n] ?? [["three", { f: Math.floor((n - 1) / 3), c: 0, k: 0 }]],
  );
  const budget = { ...faults, n };
  const rule = commitRule(name, budget);
  if (!rule.ok) throw new Error(`${n} writers: ${rule.error.detail}`);
  return { name, budget };
}

function drawCheaters(
  random: Prng,
  { n, f }: FaultBudget,
  { adversary, cheats }: PlanOptions,
): Map<number, string> {
  const drawn = random.below(f + 1);
  const count = cheats ?? Math.min(f, adversary === undefined ? drawn : Math.max(1, drawn));
  const authors = random.shuffled(Array.from({ length: n }, (_, i) => i)).slice(0, count);
  return new Map(authors.map((author) => [author, adversary ?? pick(random, adversaryNames)]));
}

function withBeside(name: string, random: Prng, { adversary }: PlanOptions): string {
  const drawn = random.shuffled(besideNames).slice(0, random.below(3));
  // Who asks for one cheat by name wants to see that one.
  return adversary === undefined ? [...new Set([name, ...drawn])].join("+") : name;
}

function drawLiars(random: Prng, readers: number): Map<number, string> {
  const liars = new Map<number, string>();
  for (let i = 0; i < readers; i++)
    if (random.chance(0.3)) liars.set(i, pick(random, Object.keys(lies)));
  return liars;
}

function drawWeather(random: Prng, on: ReadonlySet<Trouble>): Weather {
  return {
    delayMs: pick(random, [1, 10, 30, 80]),
    tail: random.chance(0.3) ? 0.002 : 0,
    clog: on.has("clogs") ? 0.002 : 0,
    cut: on.has("cuts") ? 0.002 : 0,
    bandwidth: 1e6,
  };
}

/** A plan in a line, as people read it. */
export function describePlan(plan: Plan): string {
  const { n, rule, corrupt, liars, readers } = plan;
  const cheats = [...corrupt].map(([author, name]) => `w${author} ${name}`);
  const lying = [...liars].map(([reader, name]) => `r${reader} ${name}`);
  const { f, c, k } = rule.budget;
  return [
    `${n} writers (${rule.name}, f=${f}${c + k > 0 ? ` c=${c} k=${k}` : ""}), ${readers} readers`,
    cheats.length + lying.length === 0 ? "nobody cheats" : [...cheats, ...lying].join(", "),
    ...(plan.hasMallory ? ["mallory publishes"] : []),
    plan.troubles.size === 0 ? "no trouble" : [...plan.troubles].join(", "),
  ].join("; ");
}
