import { kindName } from "../../core/accountability/index.ts";
import type { PublicKey } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import type { ConvictionRecord } from "../../core/mirror/index.ts";
import type { Metrics } from "../telemetry/index.ts";

/** Misdeeds that are remembered as counted; the oldest are forgotten. */
const offencesMax = 10_000;

/** Which misdeeds were counted already. */
export class Offences {
  readonly #counted = new Set<string>();

  isNew(offence: string): boolean {
    if (this.#counted.has(offence)) return false;
    this.#counted.add(offence);
    for (const oldest of this.#counted) {
      if (this.#counted.size <= offencesMax) break;
      this.#counted.delete(oldest);
    }
    return true;
  }
}

/** At a start: a host that was proven to cheat before has still cheated. */
export function countConvictions(
  convictions: Iterable<readonly [PublicKey, ConvictionRecord]>,
  { network, metrics }: { readonly network: Network; readonly metrics: Metrics },
): void {
  for (const [key, { of, count }] of convictions) {
    const writer = network.writers.find(({ nodeKey }) => nodeKey === key);
    const kind = kindName(network, of);
    metrics.evidence.inc({ kind, offender: writer?.name ?? "reader" }, count);
  }
}
