import type { FollowedSoFar } from "../gateway/index.ts";
import type { CertifiedHead } from "../store/index.ts";

/** What a host can show to one that follows it. */
export interface Shown {
  /** The newest commit that is certified; 0 if there is none. */
  readonly certified: number;
  readonly head: Pick<CertifiedHead, "due"> | undefined;
  /** When a quorum last vouched for the head. */
  readonly leaseS: number;
}

/**
 * True if the head is news to a follower that can use it: with what he has, or with the commits that come along. A
 * checkpoint is cosigned before the commit that made it is certified; a follower who is sent it alone, at once, learns
 * nothing, and takes the host for one that only makes it ask.
 */
export function isHeadNews(
  { head, certified, leaseS }: Shown,
  after: Pick<FollowedSoFar, "commit" | "size" | "leaseS">,
): boolean {
  const { size, commit } = head?.due ?? { size: 0, commit: 0 };
  if (commit > Math.max(after.commit, certified)) return false;
  return size > after.size || (size === after.size && leaseS > after.leaseS);
}
