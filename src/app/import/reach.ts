import { lookup as resolve } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { buildConnector } from "undici";
import { SourceError } from "./source.ts";

/** Addresses that nobody outside a network can be reached at (RFC 6890), and what stands for them in IPv6. */
const inside = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const)
  inside.addSubnet(network, bits, "ipv4");
for (const [network, bits] of [
  ["::", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const)
  inside.addSubnet(network, bits, "ipv6");

/** True for an address within somebody's own network or machine. IPv4 in IPv6 form counts as what it stands for. */
export function isInside(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && inside.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** `host:port`, as connections are made to it. */
function placeOf({ hostname, port, protocol }: URL | buildConnector.Options): string {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return `${bare}:${port === "" ? (protocol === "https:" ? 443 : 80) : port}`;
}

/**
 * Where an import may go. The operator names the source, and that may be anywhere; what the source then leads to, by a
 * redirect or in an index, must not be within the operator's network: the answer would be published.
 */
export class Reach {
  readonly url: string;
  readonly #named: ReadonlySet<string>;

  /** `also`: other places within this network that the source may lead to. */
  constructor(url: string, also: readonly string[] = []) {
    this.url = url;
    this.#named = new Set([url, ...also].map((one) => placeOf(new URL(one))));
  }

  /** Makes the connections of an HTTP client: each place is checked when it is connected to, after names are resolved. */
  get connector(): buildConnector.connector {
    const named = buildConnector({});
    const other = buildConnector({ lookup: outsideOnly });
    return (options, done) => {
      if (this.#named.has(placeOf(options))) return named(options, done);
      const address = options.hostname.replace(/^\[(.*)\]$/, "$1");
      if (isInside(address)) return void done(refused(address), null);
      return other(options, done);
    };
  }
}

function refused(place: string): SourceError {
  return new SourceError(
    `the source leads to ${place}, within this network; if it may: --also URL, or also in [[import]]`,
  );
}

const outsideOnly: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, []);
    const found = addresses.find(({ address }) => isInside(address));
    if (found !== undefined) return done(refused(`${hostname} (${found.address})`), []);
    if (options.all === true) return done(null, addresses);
    return done(null, addresses[0]?.address ?? "", addresses[0]?.family);
  });
};
