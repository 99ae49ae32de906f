import type { Digest } from "../../core/base/index.ts";
import type { TreeHost } from "./tree-host.ts";

/** A manifest is small (OCI distribution specification: registries need not take more). */
const manifestBytesMax = 4 * 1024 * 1024;
const mediaType = /^application\/[a-z0-9.+-]{1,100}$/;

/** True for `v2/NAME/manifests/REFERENCE`: a registry's manifest, where an OCI client asks for it. */
export function isManifest(tree: string, names: readonly string[]): boolean {
  return tree === "v2" && names.length >= 3 && names.at(-2) === "manifests";
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
    const { mediaType: type } = JSON.parse(Buffer.concat(pieces).toString()) as {
      mediaType?: unknown;
    };
    return typeof type === "string" && mediaType.test(type)
      ? { ...known, "content-type": type }
      : known;
  } catch {
    // What cannot be read is refused where its bytes are sent.
    return known;
  }
}
