import { HostLoop, type LaterEffect } from "../src/app/loop/index.ts";
import { FollowerHost, type FollowerInput } from "../src/core/replica/index.ts";
import { SimHost } from "./sim-host.ts";

const pollMs = 500;

/** A reader: follows whoever answers, verifies, executes, compares. */
export class SimReader extends SimHost {
  #host: FollowerHost | undefined;
  #loop: HostLoop<FollowerInput> | undefined;
  /** What waits for the answer that is being taken in. */
  #taken: () => void = () => undefined;

  get machine(): FollowerHost | undefined {
    return this.#host;
  }

  get lastIndex(): number {
    return this.#host?.lastCommit.index ?? 0;
  }

  protected async start(life: number): Promise<void> {
    const { network, signatures } = this.world;
    const { store } = await this.open();
    const recovery = await store.recover(network, {
      isGuardWhole: true,
      self: undefined,
      genesisFile: "genesis.json",
    });
    if (life !== this.life) return;
    this.store = store;
    this.#host = new FollowerHost({
      network,
      verifier: signatures.verifier,
      view: this.view,
      recovery,
    });
    this.#loop = new HostLoop({
      host: this.#host,
      store,
      clock: this.clock,
      perform: (effect) => {
        if (life === this.life) this.#perform(effect, life);
      },
      onFatal: async (error) => {
        if (life === this.life) this.fatal(error);
      },
    });
    this.#loop.push({ type: "start" });
    this.#pollLater(life);
  }

  protected override stopRunning(): void {
    void this.#loop?.stop();
    this.#loop = undefined;
    this.#host = undefined;
    this.store = undefined;
    this.#taken();
  }

  #perform(effect: LaterEffect, life: number): void {
    switch (effect.type) {
      case "changes-needed": {
        const update = this.pendingUpdate(effect.update);
        if (update === undefined) return;
        return void this.bring(update.record.changes).then((isHere) => {
          if (isHere && life === this.life) this.#loop?.push({ type: "changes-here" });
        });
      }
      case "execution-paused":
        return this.#loop?.push({ type: "changes-here" });
      case "batches-needed":
        return void this.readBack(effect).then((batches) => {
          if (batches !== undefined && life === this.life)
            this.#loop?.push({ type: "batches", batches });
        });
      case "news-taken":
        if (effect.fault !== undefined)
          this.world.sometimes(`a source refused: ${effect.fault.code}`);
        return this.#taken();
      case "mirror":
        if (effect.event.type === "finished") this.told(effect.event);
        if (effect.event.type === "height") this.world.check.height(this, effect.event.record);
        if (effect.event.type === "convicted") this.convicted(effect.event.conviction);
        return;
      default:
        this.performShared(effect);
    }
  }

  /** At once where there was something: there may be more. */
  #pollLater(life: number, hadNews = false): void {
    this.later(hadNews ? 0 : pollMs, () => {
      const before = this.lastIndex;
      void this.#poll(life).then(() => {
        if (life === this.life) this.#pollLater(life, this.lastIndex > before);
      });
    });
  }

  async #poll(life: number): Promise<void> {
    const bytes = await this.world.news(this, this.lastIndex, this.head?.due.size ?? 0);
    const host = this.#host;
    if (bytes === undefined || life !== this.life || host === undefined) return;
    const news = this.readNews(bytes);
    if (news === undefined) return this.world.sometimes("an unreadable answer refused");
    await new Promise<void>((done) => {
      this.#taken = done;
      this.#loop?.push({ type: "news", source: "a neighbour", ...news });
    });
  }
}
