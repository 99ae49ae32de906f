import type { Socket } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import {
  Allowance,
  type Author,
  CodedError,
  type LinkName,
  limits,
  type PublicKey,
} from "../../core/base/index.ts";
import { type Certificate, rawKeyOf, selfSigned } from "./certificate.ts";
import { FrameReader, framed } from "./frames.ts";

export interface LinkPeer {
  readonly author: Author;
  readonly nodeKey: PublicKey;
  /** `host:port`. */
  readonly address: string;
}

export interface LinkEvents {
  /** `session` is larger than that of every earlier link. */
  up(peer: Author, session: number): void;
  down(peer: Author, reason: string): void;
  /** Returns bytes now queued for `peer`; above `peerInboxBytesMax` reading from it pauses until {@link Links.drained}. */
  frame(peer: Author, frame: Buffer): number;
  /** A connection that was refused, for the log and the metrics. */
  refused(reason: string): void;
}

const handshakeMs = 5000;
const firstBackoffMs = 100;
/** Writers that are started again find one another within a second and a half. */
const longestBackoffMs = 1000;
const strangersMax = 64;
/** Each link costs a greeting, and what the peer says that it lacks. */
const linksOfPeer = { everyMs: 1000, atOnce: 8 };
const protocol = "smalti/1";

interface Link {
  readonly socket: TLSSocket;
  readonly peer: Author;
  readonly session: number;
}

/** Links between writers: TLS 1.3, both ends proven to be the identity that the genesis names, nothing else. */
export async function openLinks(options: {
  readonly identity: { readonly publicKey: PublicKey; readonly seed: Uint8Array };
  readonly self: Author;
  readonly listen: { readonly host: string; readonly port: number };
  readonly peers: readonly LinkPeer[];
  readonly events: LinkEvents;
}): Promise<Links> {
  const links = new Links(options, await selfSigned(options.identity));
  await links.open();
  return links;
}

/** The links to all other writers: dialled or accepted, authenticated by key, with backpressure. */
export class Links {
  readonly #self: Author;
  readonly #listen: { readonly host: string; readonly port: number };
  readonly #peers: readonly LinkPeer[];
  readonly #events: LinkEvents;
  readonly #certificate: Certificate;
  readonly #server: Server;
  readonly #links = new Map<Author, Link>();
  readonly #timers = new Map<Author, NodeJS.Timeout>();
  readonly #bannedUntil = new Map<Author, number>();
  readonly #adopted = new Allowance<Author>(linksOfPeer);
  readonly #connecting = new Set<TLSSocket>();
  readonly #unproven = new Set<Socket>();
  #sessions = 0;
  #sentBytes = 0;
  #isClosed = false;

  constructor(
    options: {
      readonly self: Author;
      readonly listen: { readonly host: string; readonly port: number };
      readonly peers: readonly LinkPeer[];
      readonly events: LinkEvents;
    },
    certificate: Certificate,
  ) {
    this.#self = options.self;
    this.#listen = options.listen;
    this.#peers = options.peers;
    this.#events = options.events;
    this.#certificate = certificate;
    this.#server = createServer(
      {
        ...certificate,
        minVersion: "TLSv1.3",
        requestCert: true,
        // The certificate is self-signed by design; the key in it is compared below.
        rejectUnauthorized: false,
        handshakeTimeout: handshakeMs,
        ALPNProtocols: [protocol],
      },
      (socket) => this.#onIncoming(socket),
    );
    // Sockets that have not proven who they are: the oldest makes room, so strangers cannot keep writers out.
    this.#server.on("connection", (socket: Socket) => this.#onConnection(socket));
    this.#server.on("tlsClientError", (error) =>
      this.#events.refused(`handshake: ${error.message}`),
    );
  }

  /** Listens, and dials every peer with a higher index; the others dial us. */
  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#listen.port, this.#listen.host, () => resolve());
    });
    for (const peer of this.#peers) if (peer.author > this.#self) this.#dial(peer, firstBackoffMs);
  }

  /** The port that is listened on. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Bytes handed to all links so far, before TLS. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Sends a frame if that link still stands; drops the link if the peer does not take what it is sent. */
  send({ peer, session }: LinkName, frame: Uint8Array): void {
    const link = this.#links.get(peer);
    if (link?.session === session) this.#write(link, framed(frame));
  }

  broadcast(to: readonly LinkName[], frame: Uint8Array): void {
    const parts = framed(frame);
    for (const { peer, session } of to) {
      const link = this.#links.get(peer);
      if (link?.session === session) this.#write(link, parts);
    }
  }

  #write(link: Link, parts: readonly Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (link.socket.writableLength + length > limits.peerQueueBytesMax)
      return this.#drop(link, "the peer is too slow");
    // What is written in one turn leaves together.
    if (link.socket.writableCorked === 0) {
      link.socket.cork();
      process.nextTick(() => link.socket.uncork());
    }
    for (const part of parts) link.socket.write(part);
    this.#sentBytes += length;
  }

  /** The queue for this peer is short again. */
  drained(peer: Author): void {
    this.#links.get(peer)?.socket.resume();
  }

  /** Closes the link of a peer that misbehaved and avoids it for a while. */
  ban(peer: Author, forMs: number, reason: string): void {
    this.#bannedUntil.set(peer, Date.now() + forMs);
    const link = this.#links.get(peer);
    if (link !== undefined) this.#drop(link, reason);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const socket of [...this.#connecting, ...this.#unproven]) socket.destroy();
    for (const link of this.#links.values()) link.socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #isBanned(peer: Author): boolean {
    return (this.#bannedUntil.get(peer) ?? 0) > Date.now();
  }

  #dial(peer: LinkPeer, backoffMs: number): void {
    if (this.#isClosed) return;
    const colon = peer.address.lastIndexOf(":");
    const socket = connect({
      host: peer.address.slice(0, colon).replace(/^\[|\]$/g, ""),
      port: Number(peer.address.slice(colon + 1)),
      ...this.#certificate,
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
      ALPNProtocols: [protocol],
    });
    this.#connecting.add(socket);
    socket.setTimeout(handshakeMs, () =>
      socket.destroy(new CodedError("TOO_SLOW", "no answer to the handshake")),
    );
    let isUp = false;
    socket.once("secureConnect", () => {
      socket.setTimeout(0);
      if (this.#keyOf(socket) !== peer.nodeKey) {
        this.#events.refused(`${peer.address} is not the writer ${peer.author} of the genesis`);
        return void socket.destroy();
      }
      isUp = true;
      this.#adopt(socket, peer.author);
    });
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#connecting.delete(socket);
      const next = isUp ? firstBackoffMs : Math.min(backoffMs * 2, longestBackoffMs);
      // Jitter keeps many hosts from knocking at once.
      const timer = setTimeout(() => this.#dial(peer, next), next * (0.5 + Math.random()));
      this.#timers.set(peer.author, timer);
    });
  }

  #keyOf(socket: TLSSocket): PublicKey | undefined {
    const certificate = socket.getPeerX509Certificate();
    return certificate === undefined ? undefined : rawKeyOf(certificate.publicKey);
  }

  #onConnection(socket: Socket): void {
    this.#unproven.add(socket);
    socket.once("close", () => this.#unproven.delete(socket));
    const [oldest] = this.#unproven;
    if (this.#unproven.size > strangersMax) oldest?.destroy();
    const timer = setTimeout(() => {
      if (this.#unproven.has(socket)) socket.destroy();
    }, handshakeMs);
    timer.unref();
  }

  #onIncoming(socket: TLSSocket): void {
    socket.on("error", () => undefined);
    const key = this.#keyOf(socket);
    const peer = this.#peers.find((known) => known.nodeKey === key);
    if (peer === undefined || peer.author > this.#self) {
      this.#events.refused(`a stranger from ${socket.remoteAddress ?? "?"}`);
      return void socket.destroy();
    }
    for (const raw of this.#unproven) {
      if (raw.remotePort === socket.remotePort && raw.remoteAddress === socket.remoteAddress)
        this.#unproven.delete(raw);
    }
    this.#adopt(socket, peer.author);
  }

  #adopt(socket: TLSSocket, peer: Author): void {
    if (this.#isBanned(peer)) return void socket.destroy();
    if (!this.#adopted.take(peer, performance.now())) {
      this.#events.refused(`too many links of the writer ${peer}`);
      return void socket.destroy();
    }
    const old = this.#links.get(peer);
    if (old !== undefined) this.#drop(old, "replaced by a newer link");
    const link: Link = { socket, peer, session: ++this.#sessions };
    this.#links.set(peer, link);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 10_000);
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      const read = reader.push(chunk);
      if ("fault" in read) return this.#drop(link, read.fault);
      let queued = 0;
      for (const frame of read.frames) queued = this.#events.frame(peer, frame);
      if (queued > limits.peerInboxBytesMax) socket.pause();
    });
    socket.once("close", () => this.#drop(link, "closed"));
    this.#events.up(peer, link.session);
  }

  #drop(link: Link, reason: string): void {
    link.socket.destroy();
    if (this.#links.get(link.peer) !== link) return;
    this.#links.delete(link.peer);
    this.#events.down(link.peer, reason);
  }
}
