import { type Author, Digest } from "../src/core/base/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import { type Block, blockFromWire, type VerifiedBlock } from "../src/core/dag/index.ts";
import type { SimWriter } from "./host.ts";
import { decodeMessage, encodeMessage } from "./messages.ts";
import type { Outgoing } from "./outgoing.ts";
import type { AdversaryName } from "./plan.ts";
import type { Realm } from "./realm.ts";

/** How one writer cheats. Everything else about it is the unmodified host. */
export interface Adversary {
  readonly name: AdversaryName;
  /** What it does in a sentence, for people. */
  readonly says: string;
  /** Turns a writer into this cheater; called once it is made, before it starts. */
  readonly corrupt: (writer: SimWriter, world: Realm) => void;
}

type Sent = ReturnType<Outgoing>;

/** The block in a frame, if it is one of this writer's own. */
export function ownBlock(writer: SimWriter, frame: Uint8Array): VerifiedBlock | undefined {
  const message = decodeMessage(frame);
  if (!message.ok || message.value.type !== "block") return undefined;
  const block = blockFromWire(message.value.wire);
  return block.ok && block.value.ref.author === writer.author ? block.value : undefined;
}

export function frameOf(block: Block): Uint8Array {
  return encodeMessage({ type: "block", wire: block.wire });
}

/** What a cheater does to a frame on its way to a peer; undefined leaves it as it is. */
export type Change<T> = (
  what: T,
  at: { readonly world: Realm; readonly writer: SimWriter; readonly peer: Author },
) => Sent | undefined;

/** What it did to frames before is done first: a cheater can cheat in several ways. */
export function through(writer: { outgoing: Outgoing }, next: Outgoing): void {
  const before = writer.outgoing;
  writer.outgoing = (frame, peer) =>
    before(frame, peer).flatMap((sent) =>
      next(sent.frame, peer).map((changed) => ({
        frame: changed.frame,
        extraMs: (sent.extraMs ?? 0) + (changed.extraMs ?? 0),
      })),
    );
}

export function perFrame(name: AdversaryName, says: string, change: Change<Uint8Array>): Adversary {
  return {
    name,
    says,
    corrupt: (writer, world) => {
      through(writer, (frame, peer) => {
        const changed = change(frame, { world, writer, peer });
        if (changed === undefined) return [{ frame }];
        world.misdeed(name);
        return changed;
      });
    },
  };
}

/** An adversary that changes own blocks on their way to some peers. */
export function perBlock(
  name: AdversaryName,
  says: string,
  change: Change<VerifiedBlock>,
): Adversary {
  return perFrame(name, says, (frame, at) => {
    const block = ownBlock(at.writer, frame);
    return block && change(block, at);
  });
}

export const randomDigest = (world: Realm): Digest =>
  Digest(sha256(Buffer.from(`${world.random.next()}`)));
