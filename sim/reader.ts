import { type LaterEffect, persist, writeState } from "../src/app/host/index.ts";
import { FollowerHost } from "../src/core/host/index.ts";
import { SimHost } from "./sim-host.ts";

const pollMs = 500;

/** A reader: follows whoever answers, verifies, executes, compares. */
export class SimReader extends SimHost {
  #host: FollowerHost | undefined;
  #turns: Promise<void> = Promise.resolve();

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
    void this.#turn(life, () => this.#perform(this.#host?.start() ?? []));
    this.#pollLater(life);
  }

  protected override stopRunning(): void {
    this.#host = undefined;
    this.store = undefined;
    this.#turns = Promise.resolve();
  }

  #turn(life: number, work: () => Promise<void>): Promise<void> {
    this.#turns = this.#turns.then(async () => {
      try {
        if (life === this.life) await work();
      } catch (error) {
        if (life === this.life) this.fatal(error);
      }
    });
    return this.#turns;
  }

  async #perform(effects: ReturnType<FollowerHost["start"]>): Promise<void> {
    const { store, life } = this;
    const host = this.#host;
    if (store === undefined || host === undefined) return;
    const violation = effects.find((effect) => effect.type === "violation");
    if (violation?.type === "violation") throw new Error(`safety violation: ${violation.detail}`);
    if (persist(store, effects)) await store.sync();
    if (life !== this.life) return;
    const part = {
      horizon: Number.MAX_SAFE_INTEGER,
      state: host.state,
      stateWritten: () => host.stateWritten(),
    };
    writeState(store, part, effects);
    for (const effect of effects) this.#do(effect as LaterEffect, life);
  }

  #do(effect: LaterEffect, life: number): void {
    if (effect.type === "changes-needed") {
      const update = this.pendingUpdate(effect.update);
      if (update !== undefined)
        void this.bring(update.record.changes).then((isHere) => {
          if (isHere && life === this.life)
            void this.#turn(life, () => this.#perform(this.#host?.onChangesHere() ?? []));
        });
      return;
    }
    if (effect.type === "execution-paused")
      return void this.#turn(life, () => this.#perform(this.#host?.onChangesHere() ?? []));
    if (effect.type === "batches-needed")
      return void this.readBack(effect).then((batches) => {
        if (batches === undefined) return;
        void this.#turn(life, () => this.#perform(this.#host?.onBatches(batches) ?? []));
      });
    if (effect.type === "mirror") {
      if (effect.event.type === "finished") this.told(effect.event);
      if (effect.event.type === "height") this.world.check.height(this, effect.event.record);
      if (effect.event.type === "convicted") this.convicted(effect.event.conviction);
      return;
    }
    this.performShared(effect);
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
    await this.#turn(life, async () => {
      const commits = news.range.commits.filter(
        ({ commit }) => commit.index > host.lastCommit.index,
      );
      if (commits.length > 0) {
        const taken = host.onRange({ ...news.range, commits });
        if (!taken.ok) return this.world.sometimes(`a source refused: ${taken.error.code}`);
        await this.#perform(taken.value);
      }
      if (news.note === undefined || life !== this.life) return;
      const taken = host.onCheckpoint(news.note);
      if (taken.ok) return this.#perform(taken.value);
      if (taken.error.code === "STATE_DIVERGED") throw new Error(taken.error.detail);
      this.world.sometimes(`a source refused: ${taken.error.code}`);
    });
  }
}
