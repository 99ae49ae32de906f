import { type Author, defined } from "../base/index.ts";
import {
  type FailureDetector,
  type Finding,
  FixedTimeout,
  Manual,
  type Observation,
  type PeerActivity,
  PhiAccrual,
  RoundLag,
} from "./detector.ts";
import type { Opinion, Reason } from "./opinion.ts";

/** Which detector a host uses, and how strict it is. */
export interface DetectorChoice {
  readonly detector: "adaptive" | "fixed" | "rounds" | "manual";
  /** Of `fixed`, milliseconds. */
  readonly suspectAfterMs: number;
  /** Of all but `rounds` and `manual`: no sign of life for so long, milliseconds. */
  readonly deadAfterMs: number;
  /** Of `adaptive`: −log10 of the chance of a false suspicion. */
  readonly phi: number;
  readonly suspectAfterRounds: number;
  readonly deadAfterRounds: number;
  /** How often a host that is late is asked whether it is there, milliseconds. */
  readonly probeEveryMs: number;
}

/** φ accrual, with the times of the documentation. */
export const defaultDetector: DetectorChoice = {
  detector: "adaptive",
  suspectAfterMs: 1000,
  deadAfterMs: 30_000,
  phi: 8,
  suspectAfterRounds: 50,
  deadAfterRounds: 500,
  probeEveryMs: 1000,
};

/** The detector that a choice names. */
export function detectorOf(
  choice: DetectorChoice,
  atMs: number,
): FailureDetector & { readonly activity: PeerActivity } {
  switch (choice.detector) {
    case "adaptive":
      return new PhiAccrual(choice, atMs);
    case "fixed":
      return new FixedTimeout(choice, atMs);
    case "rounds":
      return new RoundLag(choice, atMs);
    case "manual":
      return new Manual(atMs);
  }
}

interface Watched {
  readonly author: Author;
  readonly detector: FailureDetector & { readonly activity: PeerActivity };
  /** The operator's word goes before the detector's. */
  operator: { readonly opinion: Opinion; readonly sinceMs: number } | undefined;
  finding: Finding;
  /** When it was asked last whether it is there, and has not answered yet. */
  probedMs: number | undefined;
  nextProbeMs: number;
}

const noFinding: Finding = { opinion: "ok", code: "punctual", sinceMs: 0 };

/** What this host thinks of every other writer now; local, and of influence on nothing but waiting. */
export class Watch {
  readonly #hosts: readonly Watched[];
  readonly #probeEveryMs: number;

  constructor(options: {
    readonly others: readonly Author[];
    readonly choice: DetectorChoice;
    readonly atMs: number;
  }) {
    this.#probeEveryMs = options.choice.probeEveryMs;
    this.#hosts = options.others.map((author) => ({
      author,
      detector: detectorOf(options.choice, options.atMs),
      operator: undefined,
      finding: noFinding,
      probedMs: undefined,
      nextProbeMs: 0,
    }));
  }

  #of(author: Author): Watched | undefined {
    return this.#hosts.find((host) => host.author === author);
  }

  observe(author: Author, observation: Observation, atMs: number): void {
    const host = this.#of(author);
    host?.detector.observe(observation, atMs);
    if (observation.type === "heard" && host !== undefined) host.probedMs = undefined;
  }

  /** The round clock moved. */
  round(round: number, atMs: number): void {
    for (const { detector } of this.#hosts) detector.observe({ type: "round", round }, atMs);
  }

  links(up: ReadonlySet<Author>, atMs: number): void {
    for (const { author, detector } of this.#hosts) {
      const isUp = up.has(author);
      if (detector.activity.isLinked !== isUp) detector.observe({ type: "link", isUp }, atMs);
    }
  }

  /** The operator's own opinion, until it is taken back with `undefined`. */
  say(author: Author, opinion: Opinion | undefined, atMs: number): void {
    const host = this.#of(author);
    if (host !== undefined)
      host.operator = opinion === undefined ? undefined : { opinion, sinceMs: atMs };
  }

  /** Looks at everybody: whose opinion changed, and who should be asked whether it is there. */
  look(atMs: number): { readonly changed: readonly Author[]; readonly probe: readonly Author[] } {
    const changed: Author[] = [];
    const probe: Author[] = [];
    for (const host of this.#hosts) {
      if (this.#takeProbe(host, atMs)) probe.push(host.author);
      const before = host.finding;
      host.finding = this.#judge(host, atMs);
      if (host.finding.opinion !== before.opinion || host.finding.code !== before.code)
        changed.push(host.author);
    }
    return { changed, probe };
  }

  #judge({ operator, detector }: Watched, atMs: number): Finding {
    if (operator === undefined) return detector.judge(atMs);
    return { ...operator, code: "operator" };
  }

  /** True if it is to be asked now. Only who is late is: a quiet network stays quiet. */
  #takeProbe(host: Watched, atMs: number): boolean {
    const { activity } = host.detector;
    const isLate = activity.isLinked && activity.owesMs !== undefined;
    if (!isLate || atMs < Math.max(host.nextProbeMs, (activity.owesMs ?? 0) + this.#probeEveryMs))
      return false;
    if (host.probedMs !== undefined) host.detector.observe({ type: "unanswered" }, atMs);
    host.probedMs = atMs;
    host.nextProbeMs = atMs + this.#probeEveryMs;
    return true;
  }

  /** When {@link look} should be asked again, though nothing is seen. */
  wakeAtMs(atMs: number): number | undefined {
    let earliest: number | undefined;
    for (const { detector, nextProbeMs } of this.#hosts) {
      const { activity } = detector;
      const isLate = activity.isLinked && activity.owesMs !== undefined;
      const probeMs = isLate
        ? Math.max(nextProbeMs, (activity.owesMs ?? 0) + this.#probeEveryMs)
        : undefined;
      for (const at of [probeMs, detector.nextMs(atMs)])
        if (at !== undefined) earliest = Math.min(earliest ?? at, Math.max(at, atMs + 1));
    }
    return earliest;
  }

  opinionOn(author: Author): Opinion {
    return this.#of(author)?.finding.opinion ?? "ok";
  }

  /** The reason for an opinion; `offsetMs` brings this clock's times to POSIX. */
  reasonFor(author: Author, offsetMs: number): Reason {
    const { finding, detector } = defined(this.#of(author), "a host that is watched");
    const { activity } = detector;
    const isOk = finding.code === "punctual" || finding.code === "operator";
    return {
      code: finding.code,
      sinceMs: finding.sinceMs <= 0 ? 0 : Math.max(0, Math.floor(finding.sinceMs + offsetMs)),
      rounds: isOk ? 0 : Math.max(0, activity.lag - 1),
      unanswered: isOk ? 0 : Math.min(65_535, activity.unanswered),
    };
  }

  /** Hosts that are not to be waited for: the dead first, then by how long they are suspected. */
  get shunned(): readonly Author[] {
    const rank = { dead: 0, suspected: 1, ok: 2 } as const;
    return this.#hosts
      .filter(({ finding }) => finding.opinion !== "ok")
      .sort(
        (a, b) =>
          rank[a.finding.opinion] - rank[b.finding.opinion] ||
          a.finding.sinceMs - b.finding.sinceMs ||
          a.author - b.author,
      )
      .map(({ author }) => author);
  }
}
