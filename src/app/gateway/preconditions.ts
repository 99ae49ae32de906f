import type { IncomingHttpHeaders } from "node:http";

/** True if a list of entity tags has this one, by strong comparison (RFC 9110 §8.8.3.2), or is `*`. */
function hasTag(list: string, etag: string): boolean {
  return list.trim() === "*" || list.split(",").some((one) => one.trim() === etag);
}

/** `If-Match`, and without it `If-Unmodified-Since`: false where what is there is not what the client wants (RFC 9110 §13.2.2). */
export function arePreconditionsMet(
  headers: IncomingHttpHeaders,
  is: { readonly etag: string; readonly lastModified: string },
): boolean {
  const { "if-match": match, "if-unmodified-since": since } = headers;
  if (match !== undefined) return hasTag(match, is.etag);
  const [sinceMs, changedMs] = [dateOf(since), Date.parse(is.lastModified)];
  return sinceMs === undefined || Number.isNaN(changedMs) || changedMs <= sinceMs;
}

const imfDate =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** POSIX milliseconds of a date as HTTP has them today (RFC 9110 §5.6.7); `undefined` for anything else. */
export function dateOf(text: string | undefined): number | undefined {
  const ms = text !== undefined && imfDate.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
