import { type Author, Author as authorOf, Digest, Round } from "../src/core/base/index.ts";
import { encodePayload } from "../src/core/consensus/index.ts";
import { sha256 } from "../src/core/crypto/index.ts";
import {
  type Block,
  blockFromWire,
  blockSigningBytes,
  type CommitVote,
  dagConfigOf,
  encodeHeader,
  genesisRef,
  type Header,
  headerDigest,
  type Ref,
  refKey,
  type VerifiedBlock,
  wireOf,
} from "../src/core/dag/index.ts";
import type { HostInput } from "../src/core/replica/index.ts";
import type { SimWriter } from "./host.ts";
import { decodeMessage, encodeMessage } from "./messages.ts";
import type { Realm } from "./realm.ts";

/** What a puppet does otherwise than a writer would; all of it is the choice of one cheater, and validly signed. */
export interface Strings {
  /** Whom it shows a block of its own, and gives it when it is asked. */
  readonly shows: (block: Block, peer: Author) => boolean;
  readonly votes: (round: number) => readonly CommitVote[];
  /** Junk that it sends to a peer just before a block. */
  readonly junk: (block: Block, peer: Author) => readonly Block[];
  /** Makes a block of a round, or leaves the round out. */
  readonly takesPart: (round: number) => boolean;
}

/** What counts its misdeeds. */
interface Acting {
  readonly acts: () => void;
}

/**
 * A cheater that is no writer at all: it takes part in rounds, so that the others may need it, and never decides,
 * votes, cosigns or answers for anything. What it shows to whom is up to its strings.
 */
export class Puppet {
  readonly #writer: SimWriter;
  readonly #world: Realm;
  readonly #strings: Strings & Acting;
  readonly #links = new Map<Author, { session: number; isGreeted: boolean }>();
  readonly #known = new Map<string, VerifiedBlock>();
  readonly #rounds = new Map<number, Map<Author, Ref>>();
  readonly #own: Block[] = [];

  constructor(writer: SimWriter, world: Realm, strings: Strings & Acting) {
    this.#writer = writer;
    this.#world = world;
    this.#strings = strings;
  }

  get #config(): ReturnType<typeof dagConfigOf> {
    return dagConfigOf(this.#world.network);
  }

  hear(input: HostInput): void {
    if (input.type === "peer-down") this.#links.delete(input.peer);
    if (input.type === "peer-up") {
      this.#links.set(input.peer, { session: input.session, isGreeted: false });
      const { group, epoch } = this.#config;
      const nothing = { lastCommit: 0, newestOfYou: undefined, newestOfMe: undefined };
      this.#send(
        input.peer,
        encodeMessage({ type: "hello", group, epoch, fromRound: 0, ...nothing }),
      );
    }
    if (input.type === "message") this.#onFrame(input.peer, input.frame);
  }

  #send(peer: Author, frame: Uint8Array): void {
    const link = this.#links.get(peer);
    if (link !== undefined) this.#writer.transmit({ peer, session: link.session }, frame);
  }

  #onFrame(peer: Author, frame: Uint8Array): void {
    const message = decodeMessage(frame);
    if (!message.ok) return;
    const link = this.#links.get(peer);
    if (message.value.type === "hello" && link !== undefined) {
      link.isGreeted = true;
      for (const block of this.#own.slice(-100)) this.#show(peer, block);
    }
    if (message.value.type === "block") this.#learn(message.value.wire);
    if (message.value.type === "blocks") for (const wire of message.value.wires) this.#learn(wire);
    if (message.value.type === "probe") this.#send(peer, encodeMessage({ type: "probed" }));
    if (message.value.type === "fetch") this.#answer(peer, message.value.refs);
  }

  #answer(peer: Author, refs: readonly Ref[]): void {
    const blocks = refs.flatMap((ref) => this.#known.get(refKey(ref)) ?? []);
    const shown = blocks.filter(
      (block) => block.ref.author !== this.#writer.author || this.#strings.shows(block, peer),
    );
    const wires = shown.map(({ wire }) => wire);
    if (wires.length > 0) this.#send(peer, encodeMessage({ type: "blocks", wires }));
  }

  #learn(wire: Uint8Array): void {
    const block = blockFromWire(wire);
    if (!block.ok) return;
    this.#keep(block.value);
    const { round } = block.value.ref;
    const { parentQuorum } = dagConfigOf(this.#world.network).rule;
    const authors = this.#rounds.get(round)?.size ?? 0;
    const newest = this.#own.at(-1)?.ref.round ?? 0;
    if (authors >= parentQuorum - Number(newest < round) && round >= newest) this.#sign(round + 1);
  }

  #keep(block: VerifiedBlock): void {
    const { round, author } = block.ref;
    this.#known.set(refKey(block.ref), block);
    const refs = this.#rounds.get(round) ?? new Map<Author, Ref>();
    if (!refs.has(author)) refs.set(author, block.ref);
    this.#rounds.set(round, refs);
    for (const old of this.#rounds.keys()) if (old < round - 200) this.#rounds.delete(old);
    for (const [key, { ref }] of this.#known) {
      if (this.#known.size < 2000 || ref.round > round - 200) break;
      this.#known.delete(key);
    }
  }

  /** Its block of the round before comes first, if it made none. */
  #sign(round: number): void {
    const newest = this.#own.at(-1)?.ref.round ?? 0;
    if (newest >= round) return;
    const before = this.#rounds.get(round - 1)?.has(this.#writer.author);
    if (before !== true && round > 1 && newest < round - 1) this.#sign(round - 1);
    if (!this.#strings.takesPart(round)) return;
    const block = this.make(round, this.#parents(round), this.#strings.votes(round));
    if (block === undefined) return;
    this.#own.push(block);
    this.#keep(block as VerifiedBlock);
    this.#strings.acts();
    for (const peer of this.#links.keys()) this.#show(peer, block);
  }

  #show(peer: Author, block: Block): void {
    if (this.#links.get(peer)?.isGreeted !== true) return;
    for (const junk of this.#strings.junk(block, peer))
      this.#send(peer, encodeMessage({ type: "block", wire: junk.wire }));
    if (this.#strings.shows(block, peer))
      this.#send(peer, encodeMessage({ type: "block", wire: block.wire }));
  }

  #parents(round: number): Ref[] {
    const config = this.#config;
    const own = this.#own.at(-1)?.ref ?? genesisRef(config, this.#writer.author);
    const others = Array.from({ length: config.rule.n }, (_, i) => authorOf(i)).filter(
      (author) => author !== this.#writer.author,
    );
    const below = others.flatMap((author) =>
      round === 1 ? genesisRef(config, author) : (this.#rounds.get(round - 1)?.get(author) ?? []),
    );
    return [own, ...below];
  }

  /** A block as it is signed; `undefined` where it would be invalid for lack of parents. */
  make(
    round: number,
    parents: readonly Ref[],
    commitVotes: readonly CommitVote[] = [],
  ): Block | undefined {
    const config = this.#config;
    const direct = parents.filter((parent) => parent.round === round - 1).length;
    if (direct < config.rule.parentQuorum) return undefined;
    const payload = encodePayload([]);
    const header: Header = {
      group: config.group,
      epoch: config.epoch,
      author: this.#writer.author,
      round: Round(round),
      tsMs: this.#writer.wallMs(),
      parents,
      payload: { digest: sha256(payload), bytes: payload.length, segments: 0 },
      commitVotes,
    };
    const bytes = encodeHeader(header);
    const digest = headerDigest(header, bytes);
    const { block: signer } = this.#world.signersOf(this.#writer.author);
    const signed = { bytes, signature: signer.sign(blockSigningBytes(digest)) };
    const block = blockFromWire(wireOf(signed, payload));
    return block.ok ? block.value : undefined;
  }

  /** Valid blocks of low rounds upon parents that nobody made: what fills a waiting room. */
  inventions(count: number, fromRound: number): Block[] {
    const { n } = this.#config.rule;
    const made: Block[] = [];
    for (let i = 0; i < count; i++) {
      const round = fromRound + (i % 8);
      const parents = Array.from({ length: n }, (_, author) => ({
        round: Round(round - 1),
        author: authorOf(author),
        digest: Digest(sha256(Buffer.from(`${this.#world.random.next()}`))),
      })).filter(({ author }) => author !== this.#writer.author);
      const own = { ...parents[0], author: this.#writer.author } as Ref;
      const block = this.make(round, [own, ...parents]);
      if (block !== undefined) made.push(block);
    }
    return made;
  }
}
