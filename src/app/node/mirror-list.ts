import { isPublicKey, type PublicKey } from "../../core/base/index.ts";
import { askJson } from "../client/index.ts";
import type { HostStatus, MirrorRow } from "../gateway/index.ts";
import type { Engine, Parts } from "./parts.ts";

/** How often mirrors are asked how they are, milliseconds. */
const lookEveryMs = 30_000;

interface Known {
  readonly key: PublicKey | undefined;
  readonly height: number | undefined;
  readonly problem: string | undefined;
}

/** Who serves this network: the writers, and the mirrors that the operator knows; the convicted stand apart. */
export class MirrorList {
  readonly #parts: Parts;
  readonly #engine: Engine;
  readonly #known = new Map<string, Known>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: Parts, engine: Engine) {
    this.#parts = parts;
    this.#engine = engine;
  }

  start(): void {
    const look = (): void => void Promise.all(this.#urls.map((url) => this.#look(url)));
    look();
    this.#timer = setInterval(look, lookEveryMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get #urls(): readonly string[] {
    return this.#parts.config.http.mirrors.map((url) => url.replace(/\/+$/, ""));
  }

  async #look(url: string): Promise<void> {
    const { group } = this.#parts.network;
    try {
      const status = await askJson<Partial<HostStatus> | null>(`${url}/.smalti/status.json`, {
        patienceMs: 5000,
      });
      const key = isPublicKey(status?.nodeKey) ? status.nodeKey : undefined;
      const height = typeof status?.height === "number" ? status.height : undefined;
      const isOurs = status?.group === group && key !== undefined && height !== undefined;
      const problem = isOurs ? undefined : "it does not serve this network";
      this.#known.set(url, { key, height, problem });
    } catch (error) {
      const before = this.#known.get(url);
      const problem = `no answer: ${error instanceof Error ? error.message : String(error)}`;
      this.#known.set(url, { key: before?.key, height: undefined, problem });
    }
  }

  rows(): readonly MirrorRow[] {
    const { network, core } = this.#parts;
    const opinions = this.#engine.writer?.vitals.opinions ?? [];
    const writers = network.writers.map(({ name, http, nodeKey, index }): MirrorRow => {
      const isDead = opinions.some(({ about, opinion }) => about === index && opinion === "dead");
      const isConvicted = core.archive.isConvicted(nodeKey);
      const problem = isConvicted ? "convicted" : isDead ? "dead" : undefined;
      return { url: http, role: "writer", name, key: nodeKey, height: undefined, problem };
    });
    const mirrors = this.#urls.map((url): MirrorRow => {
      const { key, height, problem } = this.#known.get(url) ?? {
        key: undefined,
        height: undefined,
        problem: "not asked yet",
      };
      const isConvicted = key !== undefined && core.archive.isConvicted(key);
      return {
        url,
        role: "reader",
        name: undefined,
        key,
        height,
        problem: isConvicted ? "convicted" : problem,
      };
    });
    return [...writers, ...mirrors];
  }
}
