import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { decodeMessage, encodeMessage, type PeerMessage } from "../../sim/index.ts";
import { Author, Round } from "../../src/core/base/index.ts";
import type { Network } from "../../src/core/committee/index.ts";
import { encodePayload, type Segment } from "../../src/core/consensus/index.ts";
import { Ed25519Verifier, sha256 } from "../../src/core/crypto/index.ts";
import {
  type Block,
  blockSigningBytes,
  encodeHeader,
  genesisRef,
  type Header,
  headerDigest,
  type Ref,
  type VerifiedBlock,
  verifyBlock,
} from "../../src/core/dag/block.ts";
import { dagConfigOf, wireOf } from "../../src/core/dag/index.ts";
import { type LoadedKey, loadKeyFile } from "../../src/io/files/index.ts";
import { type Certificate, selfSigned } from "../../src/io/transport/certificate.ts";
import { FrameReader, frameHead } from "../../src/io/transport/frames.ts";
import { until } from "./net.ts";

/** One TLS connection to a writer's link port, in the hands of a cheat. */
export class RogueLink {
  readonly socket: TLSSocket;
  isClosed = false;
  #received = 0;

  constructor(socket: TLSSocket, onFrame: (frame: Buffer) => void) {
    this.socket = socket;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      this.#received += chunk.length;
      const read = reader.push(chunk);
      if ("frames" in read) for (const frame of read.frames) onFrame(frame);
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.isClosed = true;
    });
  }

  get receivedBytes(): number {
    return this.#received;
  }

  raw(bytes: Uint8Array): void {
    if (!this.isClosed) this.socket.write(bytes);
  }

  frame(bytes: Uint8Array): void {
    this.raw(Buffer.concat([frameHead(bytes), bytes]));
  }

  send(message: PeerMessage): void {
    this.frame(encodeMessage(message));
  }

  close(): void {
    this.socket.destroy();
  }
}

export interface Forgery {
  readonly round?: number;
  readonly parents?: readonly Ref[];
  readonly segments?: readonly Segment[];
  readonly bend?: Partial<Header>;
}

/** Writer 0 of a genesis with its real keys, and no scruples. It dials the others, as its place in the genesis has it. */
export class Rogue {
  readonly #network: Network;
  readonly #block: LoadedKey;
  readonly #certificate: Certificate;
  readonly #others = new Map<number, Map<number, VerifiedBlock>>();
  readonly #links = new Map<string, RogueLink>();
  #own: Ref;

  constructor(network: Network, block: LoadedKey, certificate: Certificate) {
    this.#network = network;
    this.#block = block;
    this.#certificate = certificate;
    this.#own = genesisRef(this.config, Author(0));
  }

  static async of(network: Network, home: string): Promise<Rogue> {
    const keys = join(home, "config", "keys");
    const [node, block] = [
      await loadKeyFile(join(keys, "node.json"), "node"),
      await loadKeyFile(join(keys, "block.json"), "block"),
    ];
    return new Rogue(network, block, await selfSigned(node));
  }

  get config(): ReturnType<typeof dagConfigOf> {
    return dagConfigOf(this.#network);
  }

  /** A link to the writer called `name`, once the handshake is done; `undefined` if it was closed before. */
  connect(
    name: string,
    certificate: Partial<Certificate> = this.#certificate,
  ): Promise<RogueLink | undefined> {
    const address = this.#network.writers.find((writer) => writer.name === name)?.address ?? "";
    const [host = "", port = ""] = address.split(":");
    const options = {
      host,
      port: Number(port),
      rejectUnauthorized: false,
      ALPNProtocols: ["smalti/1"],
    };
    return new Promise((resolve) => {
      const socket = connect({ ...options, ...certificate, minVersion: "TLSv1.3" });
      const link = new RogueLink(socket, (frame) => this.#onFrame(frame));
      socket.once("secureConnect", () => resolve(link));
      socket.once("close", () => resolve(undefined));
    });
  }

  /** A link on which this rogue said a proper hello. */
  async greet(name: string): Promise<RogueLink> {
    const link = await this.connect(name);
    if (link === undefined) throw new Error(`${name} refused the link`);
    const { group, epoch } = this.config;
    link.send({
      type: "hello",
      group,
      epoch,
      fromRound: 0,
      lastCommit: 0,
      newestOfYou: undefined,
      newestOfMe: undefined,
    });
    this.#links.get(name)?.close();
    this.#links.set(name, link);
    return link;
  }

  get links(): ReadonlyMap<string, RogueLink> {
    return this.#links;
  }

  #onFrame(frame: Buffer): void {
    const message = decodeMessage(frame);
    if (!message.ok || message.value.type !== "block") return;
    const block = verifyBlock(message.value.wire, this.config, new Ed25519Verifier());
    if (!block.ok) return;
    const { round, author } = block.value.ref;
    const row = this.#others.get(round) ?? new Map<number, VerifiedBlock>();
    row.set(author, block.value);
    this.#others.set(round, row);
  }

  /** The newest round of which this rogue has the blocks of all three others; 0 before there is one. */
  get ripe(): number {
    return Math.max(
      0,
      ...[...this.#others].filter(([, row]) => row.size >= 3).map(([round]) => round),
    );
  }

  /** Own newest block (or genesis) and those of the others in `round`. */
  parentsAt(round: number): readonly Ref[] {
    const others = [1, 2, 3].map((author) =>
      round === 0
        ? genesisRef(this.config, Author(author))
        : this.#others.get(round)?.get(author)?.ref,
    );
    return [this.#own, ...others.filter((ref) => ref !== undefined)];
  }

  /** A block with a good signature of writer 0; whether the rest of it is good is up to the caller. */
  forge(forgery: Forgery = {}): Block {
    const round = forgery.round ?? Math.max(this.ripe, this.#own.round) + 1;
    const segments = forgery.segments ?? [];
    const payload = encodePayload(segments);
    const header: Header = {
      group: this.config.group,
      epoch: this.config.epoch,
      author: Author(0),
      round: Round(round),
      tsMs: Date.now(),
      parents: forgery.parents ?? this.parentsAt(round - 1),
      payload: { digest: sha256(payload), bytes: payload.length, segments: segments.length },
      commitVotes: [],
      ...forgery.bend,
    };
    const bytes = encodeHeader(header);
    const digest = headerDigest(header, bytes);
    const signature = this.#block.signer.sign(blockSigningBytes(digest));
    const ref = { round: header.round, author: Author(0), digest };
    const signed = { bytes, signature };
    return { ref, header, signed, payload, segments, wire: wireOf(signed, payload) };
  }

  /** Pushes a block to every link and goes on upon it. */
  release(block: Block): void {
    for (const link of this.#links.values()) link.send({ type: "block", wire: block.wire });
    this.#own = block.ref;
  }

  /** Brings segments into the order by a proper block of the next round. */
  async order(segments: readonly Segment[]): Promise<void> {
    await until(
      () => this.#own.round < this.ripe + 1,
      10_000,
      "the others finish the rogue's last round",
    );
    this.release(this.forge({ segments }));
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }
}
