import { isPublicKey, type PublicKey } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { askJson } from "../client/index.ts";

/** A source that did not say who it is is asked again after so long, milliseconds. */
const learnAgainMs = 10_000;

/** Whose a source is: by its address, or by the key that it shows. */
export class SourceKeys {
  readonly #network: Network;
  /** Of those that are not in the genesis, as they say: whoever lies about his own is no worse than a stranger. */
  readonly #keys = new Map<string, PublicKey>();
  readonly #asking = new Set<string>();

  constructor(network: Network) {
    this.#network = network;
  }

  /** `undefined` while it is not known; then the source is asked. */
  keyOf(source: string): PublicKey | undefined {
    const writer = this.#network.writers.find(({ http }) => http === source);
    const key = writer?.nodeKey ?? this.#keys.get(source);
    if (key === undefined) this.#learn(source);
    return key;
  }

  #learn(source: string): void {
    if (this.#asking.has(source)) return;
    this.#asking.add(source);
    void askJson<{ nodeKey?: unknown }>(`${source}/.smalti/status.json`, { patienceMs: 5000 })
      .then(({ nodeKey }) => {
        if (isPublicKey(nodeKey)) this.#keys.set(source, nodeKey);
      })
      // It is asked again when it is thought of again; until then it is as good as any.
      .catch(() => setTimeout(() => this.#asking.delete(source), learnAgainMs).unref());
  }
}
