import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { homeOf } from "../../src/app/config/index.ts";
import type { Testnet } from "../../src/app/setup/index.ts";

/** One direction of a link: bytes that are on their way, and may be held up. */
class Direction {
  isHeld = false;
  readonly #sockets = new Set<{ readonly from: Socket; readonly to: Socket }>();

  carry(from: Socket, to: Socket): void {
    const pair = { from, to };
    this.#sockets.add(pair);
    from.on("data", (bytes) => to.write(bytes));
    from.on("close", () => {
      this.#sockets.delete(pair);
      to.destroy();
    });
    from.on("error", () => undefined);
    if (this.isHeld) from.pause();
  }

  hold(isHeld: boolean): void {
    this.isHeld = isHeld;
    for (const { from } of this.#sockets) {
      if (isHeld) from.pause();
      else from.resume();
    }
  }
}

/** Between every two writers a proxy of its own, so that either direction can be held up and let go. */
export class LinkProxies {
  readonly #directions = new Map<string, Direction>();
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** Puts itself between the writers of a network that has not started yet. */
  static async between(net: Testnet): Promise<LinkProxies> {
    const proxies = new LinkProxies();
    const writers = net.hosts.filter(({ role }) => role === "writer");
    for (const [i, dialer] of writers.entries()) {
      const { genesisFile } = homeOf(dialer.home);
      const genesis = JSON.parse(await readFile(genesisFile, "utf8")) as {
        writers: { address: string }[];
      };
      for (const [j, peer] of genesis.writers.entries())
        if (j > i) peer.address = await proxies.#open(`w${i}`, `w${j}`, peer.address);
      // Addresses are hints, and no part of the network's identity.
      await writeFile(genesisFile, `${JSON.stringify(genesis, null, 2)}\n`);
    }
    return proxies;
  }

  async #open(dialer: string, peer: string, address: string): Promise<string> {
    const there = this.#direction(dialer, peer);
    const back = this.#direction(peer, dialer);
    const server = createServer((inner) => {
      const outer = connect(Number(address.split(":")[1]), "127.0.0.1");
      for (const socket of [inner, outer]) {
        this.#sockets.add(socket);
        socket.setNoDelay(true);
        socket.on("close", () => this.#sockets.delete(socket));
      }
      there.carry(inner, outer);
      back.carry(outer, inner);
    });
    this.#servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const bound = server.address();
    return `127.0.0.1:${typeof bound === "object" && bound !== null ? bound.port : 0}`;
  }

  #direction(from: string, to: string): Direction {
    const key = `${from}>${to}`;
    const direction = this.#directions.get(key) ?? new Direction();
    this.#directions.set(key, direction);
    return direction;
  }

  hold(from: string, to: string): void {
    this.#direction(from, to).hold(true);
  }

  release(from: string, to: string): void {
    this.#direction(from, to).hold(false);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((done) => server.close(done))));
  }
}
