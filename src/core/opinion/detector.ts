import type { Opinion, ReasonCode } from "./opinion.ts";

/** What a host sees of another one. Times are milliseconds of one clock that never goes back. */
export type Observation =
  /** A block of its making, of this round, from whomever. */
  | { readonly type: "block"; readonly round: number }
  /** Any frame from itself. */
  | { readonly type: "heard" }
  | { readonly type: "link"; readonly isUp: boolean }
  /** The others have begun this round. */
  | { readonly type: "round"; readonly round: number }
  /** A probe was not answered in time. */
  | { readonly type: "unanswered" };

/** What a detector makes of what it saw. */
export interface Finding {
  readonly opinion: Opinion;
  readonly code: ReasonCode;
  /** Since when, on the detector's clock. */
  readonly sinceMs: number;
}

/**
 * A failure detector for one other host: observations in, opinion out. Pure but for what it remembers; it may be wrong
 * at any time, so nothing but waiting may depend on it.
 */
export interface FailureDetector {
  observe(observation: Observation, atMs: number): void;
  judge(atMs: number): Finding;
  /** When the answer may change though nothing is seen; `undefined` if it cannot. */
  nextMs(atMs: number): number | undefined;
}

/** What every detector knows of its host. */
export class PeerActivity {
  /** Newest round of its blocks. */
  blockRound = 0;
  clockRound = 0;
  isLinked = false;
  heardMs: number;
  unanswered = 0;
  /** Since when there is no link. */
  unlinkedMs: number;
  /** Since when the others are ahead of its newest block; a block starts it anew. */
  #owesMs: number | undefined;

  constructor(atMs: number) {
    this.heardMs = atMs;
    this.unlinkedMs = atMs;
  }

  observe(observation: Observation, atMs: number): void {
    switch (observation.type) {
      case "block":
        // Whoever makes new blocks lives, through whomever they come; an old one again is no sign of anything.
        if (observation.round <= this.blockRound) return;
        this.blockRound = observation.round;
        this.#owesMs = this.isBehind ? atMs : undefined;
        this.heardMs = atMs;
        this.unanswered = 0;
        return;
      case "round":
        this.clockRound = Math.max(this.clockRound, observation.round);
        if (this.isBehind) this.#owesMs ??= atMs;
        return;
      case "heard":
        this.heardMs = atMs;
        this.unanswered = 0;
        return;
      case "link":
        if (this.isLinked && !observation.isUp) this.unlinkedMs = atMs;
        this.isLinked = observation.isUp;
        if (observation.isUp) this.heardMs = atMs;
        return;
      case "unanswered":
        this.unanswered++;
        return;
    }
  }

  /** The round before the one that is open has a quorum, and this host is not in it. */
  get isBehind(): boolean {
    return this.lag > 1;
  }

  /** Rounds between its newest block and the one that is open. */
  get lag(): number {
    return this.clockRound - this.blockRound;
  }

  /** Since when a block is owed; `undefined` while none is. A quiet network owes nobody anything. */
  get owesMs(): number | undefined {
    return this.isBehind ? this.#owesMs : undefined;
  }

  /** Since when it is late in any way. */
  get lateMs(): number | undefined {
    const unlinked = this.isLinked ? undefined : this.unlinkedMs;
    if (unlinked === undefined) return this.owesMs;
    return this.owesMs === undefined ? unlinked : Math.min(unlinked, this.owesMs);
  }

  /** Since when there is no sign of life at all; `undefined` while it may simply have nothing to say. */
  get lifelessMs(): number | undefined {
    if (!this.isLinked) return Math.max(this.unlinkedMs, this.heardMs);
    // Silence before it owed anything is no sign: a quiet network is silent.
    return this.unanswered > 0 && this.owesMs !== undefined
      ? Math.max(this.heardMs, this.owesMs)
      : undefined;
  }

  get code(): ReasonCode {
    return this.isLinked ? "no-block" : "no-link";
  }
}

const earliest = (...times: readonly (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
};

/** No sign of life for so long is dead, whatever the detector; a host that answers is at most suspected. */
class Lifeline {
  readonly #deadAfterMs: number;

  constructor(deadAfterMs: number) {
    this.#deadAfterMs = deadAfterMs;
  }

  finding(activity: PeerActivity, atMs: number): Finding | undefined {
    const { lifelessMs } = activity;
    if (lifelessMs === undefined || atMs < lifelessMs + this.#deadAfterMs) return undefined;
    return { opinion: "dead", code: activity.code, sinceMs: lifelessMs };
  }

  nextMs({ lifelessMs }: PeerActivity, atMs: number): number | undefined {
    if (lifelessMs === undefined) return undefined;
    const at = lifelessMs + this.#deadAfterMs;
    return at > atMs ? at : undefined;
  }
}

/** Late for a fixed time: suspected. The simplest, and wrong wherever delays vary. */
export class FixedTimeout implements FailureDetector {
  readonly activity: PeerActivity;
  readonly #suspectAfterMs: number;
  readonly #lifeline: Lifeline;

  constructor(
    options: { readonly suspectAfterMs: number; readonly deadAfterMs: number },
    atMs: number,
  ) {
    this.activity = new PeerActivity(atMs);
    this.#suspectAfterMs = options.suspectAfterMs;
    this.#lifeline = new Lifeline(options.deadAfterMs);
  }

  observe(observation: Observation, atMs: number): void {
    this.activity.observe(observation, atMs);
  }

  judge(atMs: number): Finding {
    const { lateMs, code } = this.activity;
    const dead = this.#lifeline.finding(this.activity, atMs);
    if (dead !== undefined) return dead;
    if (lateMs !== undefined && atMs >= lateMs + this.#suspectAfterMs)
      return { opinion: "suspected", code, sinceMs: lateMs };
    return { opinion: "ok", code: "punctual", sinceMs: 0 };
  }

  nextMs(atMs: number): number | undefined {
    const { lateMs } = this.activity;
    const suspectMs = lateMs === undefined ? undefined : lateMs + this.#suspectAfterMs;
    return earliest(
      suspectMs !== undefined && suspectMs > atMs ? suspectMs : undefined,
      this.#lifeline.nextMs(this.activity, atMs),
    );
  }
}

/** Weight of the newest sample. */
const newest = 1 / 50;
/** Delays vary at least so much, milliseconds: a perfectly regular past is no promise. */
const leastDeviationMs = 100;

/** −log10 of the chance that a normal variable is more than `y` deviations above its mean, by a logistic curve. */
function phiOf(y: number): number {
  return Math.log10(1 + Math.exp(y * (1.5976 + 0.070566 * y * y)));
}

/** The deviations at which φ reaches a threshold, by halving, since φ rises. */
function deviationsAt(phi: number): number {
  let [low, high] = [0, 40];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (phiOf(middle) < phi) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * φ-accrual (Hayashibara et al., SRDS 2004): how improbable this silence is, given how late the host used to be; φ = 8
 * is one in 10^8. What is sampled is how long a block was owed, so idle times between bursts teach nothing wrong.
 */
export class PhiAccrual implements FailureDetector {
  readonly activity: PeerActivity;
  readonly #deviations: number;
  readonly #lifeline: Lifeline;
  #meanMs = 0;
  #variance = 0;

  constructor(options: { readonly phi: number; readonly deadAfterMs: number }, atMs: number) {
    this.activity = new PeerActivity(atMs);
    this.#deviations = deviationsAt(options.phi);
    this.#lifeline = new Lifeline(options.deadAfterMs);
  }

  observe(observation: Observation, atMs: number): void {
    if (observation.type === "block" && observation.round > this.activity.blockRound) {
      const { owesMs } = this.activity;
      this.#sample(owesMs === undefined ? 0 : atMs - owesMs);
    }
    this.activity.observe(observation, atMs);
  }

  #sample(lateMs: number): void {
    const difference = lateMs - this.#meanMs;
    this.#meanMs += newest * difference;
    this.#variance = (1 - newest) * (this.#variance + newest * difference * difference);
  }

  get #deviationMs(): number {
    return Math.max(leastDeviationMs, Math.sqrt(this.#variance));
  }

  /** φ of having waited for `waitedMs`. */
  phi(waitedMs: number): number {
    return phiOf((waitedMs - this.#meanMs) / this.#deviationMs);
  }

  /** The wait at which φ passes the threshold, milliseconds. */
  get waitLimitMs(): number {
    return this.#meanMs + this.#deviations * this.#deviationMs;
  }

  judge(atMs: number): Finding {
    const dead = this.#lifeline.finding(this.activity, atMs);
    if (dead !== undefined) return dead;
    const { lateMs, isLinked } = this.activity;
    if (lateMs !== undefined && atMs >= lateMs + this.waitLimitMs)
      return { opinion: "suspected", code: isLinked ? "silent" : "no-link", sinceMs: lateMs };
    return { opinion: "ok", code: "punctual", sinceMs: 0 };
  }

  nextMs(atMs: number): number | undefined {
    const { lateMs } = this.activity;
    const suspectMs = lateMs === undefined ? undefined : lateMs + this.waitLimitMs;
    return earliest(
      suspectMs !== undefined && suspectMs > atMs ? suspectMs : undefined,
      this.#lifeline.nextMs(this.activity, atMs),
    );
  }
}

/** Counts rounds, not time: so many rounds without a block. The same on fast and slow networks; blind in quiet ones. */
export class RoundLag implements FailureDetector {
  readonly activity: PeerActivity;
  readonly #suspectAfterRounds: number;
  readonly #deadAfterRounds: number;

  constructor(
    options: { readonly suspectAfterRounds: number; readonly deadAfterRounds: number },
    atMs: number,
  ) {
    this.activity = new PeerActivity(atMs);
    this.#suspectAfterRounds = options.suspectAfterRounds;
    this.#deadAfterRounds = options.deadAfterRounds;
  }

  observe(observation: Observation, atMs: number): void {
    this.activity.observe(observation, atMs);
  }

  judge(): Finding {
    const { lag, owesMs = 0, lifelessMs, code } = this.activity;
    if (lag >= this.#deadAfterRounds && lifelessMs !== undefined)
      return { opinion: "dead", code, sinceMs: lifelessMs };
    if (lag >= this.#suspectAfterRounds)
      return { opinion: "suspected", code: "no-block", sinceMs: owesMs };
    return { opinion: "ok", code: "punctual", sinceMs: 0 };
  }

  nextMs(): undefined {
    return undefined;
  }
}

/** Only the operator has an opinion. */
export class Manual implements FailureDetector {
  readonly activity: PeerActivity;

  constructor(atMs: number) {
    this.activity = new PeerActivity(atMs);
  }

  observe(observation: Observation, atMs: number): void {
    this.activity.observe(observation, atMs);
  }

  judge(): Finding {
    return { opinion: "ok", code: "punctual", sinceMs: 0 };
  }

  nextMs(): undefined {
    return undefined;
  }
}
