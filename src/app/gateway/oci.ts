import type { FastifyReply } from "fastify";
import type { Digest } from "../../core/base/index.ts";
import type { Refusal } from "./refuse.ts";
import type { TreeHost } from "./tree-host.ts";

/** A manifest is small (OCI distribution specification: registries need not take more). */
const manifestBytesMax = 4 * 1024 * 1024;
const mediaType = /^application\/[a-z0-9.+-]{1,100}$/;

/** The tree that OCI clients take for a registry. */
export const ociTree = "v2";

/** Error codes of the OCI distribution specification, by what was asked for. */
const ociCodes: readonly (readonly [string, string])[] = [
  ["manifests", "MANIFEST_UNKNOWN"],
  ["blobs", "BLOB_UNKNOWN"],
];

/** A refusal in the words of the OCI distribution specification. */
export function refuseOci(
  reply: FastifyReply,
  { status, message }: Refusal,
  names: readonly string[],
): FastifyReply {
  const [, code = "NAME_UNKNOWN"] = ociCodes.find(([kind]) => names.at(-2) === kind) ?? [];
  return reply
    .code(status)
    .header("cache-control", "no-store")
    .type("application/json")
    .send({ errors: [{ code, message, detail: names.join("/") }] });
}

/** True for `v2/NAME/manifests/REFERENCE`: a registry's manifest, where an OCI client asks for it. */
export function isManifest(tree: string, names: readonly string[]): boolean {
  return tree === ociTree && names.length >= 3 && names.at(-2) === "manifests";
}

/** What a manifest says that it is, or what registries take it for where it says nothing. */
function typeOf(manifest: object): string | undefined {
  const said = "mediaType" in manifest ? manifest.mediaType : undefined;
  if (said !== undefined)
    return typeof said === "string" && mediaType.test(said) ? said : undefined;
  if ("manifests" in manifest) return "application/vnd.oci.image.index.v1+json";
  if ("config" in manifest) return "application/vnd.oci.image.manifest.v1+json";
  return "signatures" in manifest
    ? "application/vnd.docker.distribution.manifest.v1+prettyjws"
    : undefined;
}

/** OCI clients know a manifest by its media type, which stands in it, and by its digest. */
export async function manifestHeaders(
  host: TreeHost,
  { digest, size }: { readonly digest: Digest; readonly size: number },
): Promise<Readonly<Record<string, string>>> {
  const known = { "docker-content-digest": `sha256:${digest}` };
  if (size > manifestBytesMax || !host.blobs.has(digest)) return known;
  try {
    const pieces: Uint8Array[] = [];
    for await (const piece of host.blobs.stream(digest, 0, size)) pieces.push(piece);
    const type = typeOf(JSON.parse(Buffer.concat(pieces).toString()) as object);
    return type === undefined ? known : { ...known, "content-type": type };
  } catch {
    // What cannot be read is refused where its bytes are sent.
    return known;
  }
}
