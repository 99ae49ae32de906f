/** The segments of a path without `.`, `..` and empty ones; `undefined` where it leads above the root. */
function resolved(path: string): string | undefined {
  const names: string[] = [];
  const segments = path.split("/").slice(1);
  for (const segment of segments) {
    const plain = segment.replaceAll(/%2e/gi, ".");
    if (plain === "" || plain === ".") continue;
    if (plain !== "..") names.push(segment);
    else if (names.pop() === undefined) return undefined;
  }
  const last = (segments.at(-1) ?? "").replaceAll(/%2e/gi, ".");
  const isDirectory = names.length > 0 && ["", ".", ".."].includes(last);
  return `/${names.join("/")}${isDirectory ? "/" : ""}`;
}

/**
 * A request's target as other servers read it, before anything is looked up: the absolute form loses its origin
 * (RFC 9112 §3.2.2), dot segments are resolved (RFC 3986 §5.2.4) and slashes in a row are one. What leads above the root
 * stays as it is, and is refused; so are bytes that should have been escaped, by Node's parser.
 */
export function normalTarget(target: string): string {
  const [, origin = ""] = /^(https?:\/\/[^/?#]*)/i.exec(target) ?? [];
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(target.slice(origin.length)) ?? [];
  const from = path.startsWith("/") ? path : `/${path}`;
  const plain = /(\/\.|%2e|\/\/)/i.test(from) ? resolved(from) : from;
  return `${plain ?? from}${query}`;
}
