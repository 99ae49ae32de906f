import { fail, ok, type Result } from "../../core/base/index.ts";
import { lineageOf, type Network } from "../../core/committee/index.ts";
import type { FollowedSoFar, Wait } from "../gateway/index.ts";
import type { BatchArchive } from "../store/index.ts";
import { FollowAnswers } from "./follow-answers.ts";
import { isHeadNews } from "./head-news.ts";
import type { Heads } from "./heads.ts";
import type { Signal } from "./signal.ts";

/** What is told to those who follow this host. */
export class Follow {
  readonly #network: Network;
  readonly #batches: BatchArchive;
  readonly #heads: Heads;
  readonly #news: Signal;
  readonly #answers: FollowAnswers;

  constructor(parts: {
    readonly network: Network;
    readonly batches: BatchArchive;
    readonly heads: Heads;
    readonly news: Signal;
  }) {
    this.#network = parts.network;
    this.#batches = parts.batches;
    this.#heads = parts.heads;
    this.#news = parts.news;
    this.#answers = new FollowAnswers(parts.network.consensus, parts.batches);
  }

  /** Batches after `after.commit` and a checkpoint above `after.size`, as soon as there is one of the two. */
  async after(after: FollowedSoFar, wait: Wait): Promise<Result<Uint8Array>> {
    const { group = this.#network.group } = after;
    const isOwn = group === this.#network.group;
    if (!isOwn && !this.#endsLater(group, after.commit))
      return fail(
        "OTHER_GROUP",
        "this host follows another group; see /.smalti/splits.json for what became of yours",
      );
    const head = () => this.#heads.newest;
    const certified = (): number => this.#batches.tip?.index ?? 0;
    const isNewer = (): boolean =>
      isHeadNews({ head: head(), certified: certified(), leaseS: this.#heads.leaseS }, after);
    const hasNews = (): boolean => certified() > after.commit || (isOwn && isNewer());
    await this.#news.until(hasNews, wait);
    const note = isOwn && isNewer() ? head()?.note : undefined;
    return ok(await this.#answers.after(after.commit, note));
  }

  /** True for a group that this one comes from, while `commit` is before its end. */
  #endsLater(group: string, commit: number): boolean {
    return lineageOf(this.#network).some(
      ({ parent }) => parent?.network.group === group && commit < parent.at.commit.index,
    );
  }
}
