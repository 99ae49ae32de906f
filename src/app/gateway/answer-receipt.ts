import type { FastifyReply, FastifyRequest } from "fastify";
import { type InnerList, type Item, parseDictionary } from "structured-headers";
import { filePathOf, isNonce, signatureParams } from "../../core/accountability/index.ts";
import { type Digest, toBase64 } from "../../core/base/index.ts";
import type { GatewayHost } from "./host-api.ts";

interface Asked {
  readonly label: string;
  readonly nonce: string;
}

/** What the client wants signed (RFC 9421 §5.1): any signature that it accepts is answered with a receipt. */
function askedOf(request: FastifyRequest): Asked | undefined {
  const header = request.headers["accept-signature"];
  if (typeof header !== "string") return undefined;
  let wanted: Map<string, Item | InnerList>;
  try {
    wanted = parseDictionary(header);
  } catch {
    return undefined;
  }
  for (const [label, [, parameters]] of wanted) {
    const nonce = parameters.get("nonce") ?? "";
    return typeof nonce === "string" && isNonce(nonce) ? { label, nonce } : undefined;
  }
  return undefined;
}

/**
 * Signs an answer about a file, if the client asked for that: method, path, status, digest of the whole file, height
 * and network (RFC 9421, RFC 9530). Only for files that stand at the very path, at the newest height.
 */
export async function signAnswer(
  exchange: {
    readonly host: GatewayHost;
    readonly request: FastifyRequest;
    readonly reply: FastifyReply;
  },
  answer: {
    readonly status: number;
    readonly height: number;
    readonly content: Digest | undefined;
  },
): Promise<void> {
  const { host, request, reply } = exchange;
  const asked = askedOf(request);
  const [path = ""] = (request.raw.url ?? "").split("?");
  if (asked === undefined || filePathOf(path) === undefined) return;
  const { content, status, height } = answer;
  const { claim, signature } = await host.accountability.receipt({
    method: request.method === "HEAD" ? "HEAD" : "GET",
    path,
    status,
    height,
    content,
    createdS: Math.floor(Date.now() / 1000),
    nonce: asked.nonce,
  });
  if (claim.content !== undefined)
    reply.header(
      "repr-digest",
      `sha-256=:${Buffer.from(claim.content, "hex").toString("base64")}:`,
    );
  reply
    .header("smalti-network", claim.group)
    .header("smalti-height", String(height))
    .header("signature-input", `${asked.label}=${signatureParams(claim)}`)
    .header("signature", `${asked.label}=:${toBase64(signature)}:`);
}
