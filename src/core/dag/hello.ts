import type { Author } from "../base/index.ts";
import type { DagConfig } from "./block.ts";
import type { DagMachine } from "./machine.ts";
import type { DagMessage } from "./messages.ts";

/** What is said first on every link: how far this host is, and what it knows of itself and of the peer (`dag.md` §12). */
export function helloOf(
  dag: DagMachine,
  { group, epoch }: DagConfig,
  { self, peer }: { readonly self: Author; readonly peer: Author },
): Extract<DagMessage, { type: "hello" }> {
  const newest = dag.blocks.newestOf(peer);
  return {
    type: "hello",
    group,
    epoch,
    fromRound: newest?.ref.round ?? 0,
    lastCommit: dag.lastCommit.index,
    newestOfYou: newest?.signed,
    newestOfMe: dag.blocks.newestOf(self)?.signed,
  };
}
