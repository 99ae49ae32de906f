import { createHash } from "node:crypto";
import { createServer, type Server } from "node:net";
import { type GatewayHost, type openGateway } from "../../src/app/gateway/index.ts";
import { type Digest, Height, ok, toBase64 } from "../../src/core/base/index.ts";
import { type Signer } from "../../src/core/crypto/index.ts";
import { possessionAnswer, signPossession } from "../../src/core/accountability/index.ts";
import { over } from "./over.ts";

type OpenGateway = typeof openGateway;

/** What a corrupt mirror sends: one bit in the middle of the first piece is wrong. */
async function* flipped(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const piece of pieces) {
    const copy = Buffer.from(piece);
    if (isFirst && copy.length > 0)
      copy.writeUInt8(copy.readUInt8(copy.length >> 1) ^ 1, copy.length >> 1);
    isFirst = false;
    yield copy;
  }
}

/** It flips a bit in everything that it serves, signs for it, and answers challenges wrongly. */
export function corrupted(host: GatewayHost, signer: Pick<Signer, "sign">): GatewayHost {
  const { blobs, accountability, network } = host;
  const digestOfLie = async (content: Digest): Promise<Digest> => {
    const hash = createHash("sha256");
    for await (const piece of flipped(blobs.stream(content, 0, blobs.size(content) ?? 0)))
      hash.update(piece);
    return hash.digest("hex") as Digest;
  };
  return over(host, {
    blobs: over(blobs, {
      stream: (...range) => flipped(blobs.stream(...range)),
      lend: (...range) => flipped(blobs.lend(...range)),
    }),
    accountability: over(accountability, {
      receipt: async (claim) => {
        const content = claim.content && (await digestOfLie(claim.content));
        return accountability.receipt({ ...claim, content });
      },
      possession: async (content, nonce) => {
        const truth = await accountability.possession(content, nonce);
        if (!truth.ok) return truth;
        const answer = possessionAnswer(nonce, new Uint8Array(0));
        const { key } = truth.value;
        const claim = { group: network.group, key, content, nonce, answer };
        const { signature } = signPossession(claim, signer as Signer);
        return ok({ key, answer, signature: toBase64(signature) });
      },
    }),
  });
}

/** It shows the state before the newest one, under the newest one's name. */
export function stale(host: GatewayHost): GatewayHost {
  const { archive } = host;
  const older = (height: number): number => Math.max(Math.min(1, height), height - 1);
  return over(host, {
    archive: over(archive, {
      height: (height) => {
        if (height !== host.servedHeight) return archive.height(height);
        const record = archive.height(older(height));
        return record && { ...record, height: Height(height) };
      },
      newestProof: (head) => archive.proof(older(head.due.height), host.head ?? head),
    }),
  });
}

/** Half of all files are not there, it says. */
export function hiding(host: GatewayHost): GatewayHost {
  const { archive } = host;
  const isHidden = (path: string): boolean =>
    [...path].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 2 === 1;
  return over(host, {
    archive: over(archive, {
      entry: (...at) => (isHidden(at[2].join("/")) ? undefined : archive.entry(...at)),
    }),
  });
}

/** It shows the truth to some of its clients, and the lie to the others: it tells them apart by their ports. */
export function twoFaced(open: OpenGateway, lie: (host: GatewayHost) => GatewayHost): OpenGateway {
  return async (host, listen, proxies) => {
    const nowhere = { host: "127.0.0.1", port: 0 };
    const honest = await open(host, nowhere, proxies);
    const lying = await open(lie(host), nowhere, proxies);
    const door = createServer((socket) => {
      const face = (socket.remotePort ?? 0) % 2 === 1 ? lying : honest;
      face.server.server.emit("connection", socket);
    });
    const port = await listening(door, listen);
    return {
      port,
      server: over(honest.server, {
        close: (async () => {
          door.close();
          await Promise.all([honest.server.close(), lying.server.close()]);
        }) as unknown as typeof honest.server.close,
      }),
    };
  };
}

async function listening(
  server: Server,
  listen: { readonly host: string; readonly port: number },
): Promise<number> {
  await new Promise<void>((done, failed) => {
    server.once("error", failed);
    server.listen(listen.port, listen.host, done);
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : listen.port;
}
