import type { IncomingHttpHeaders } from "node:http";
import fresh from "fresh";

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

const month = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = "\\d{2}:\\d{2}:\\d{2}";
/** A date as it is written today, and the two obsolete forms that recipients accept too; the last one tells no zone. */
const forms: readonly (readonly [form: RegExp, zone: string])[] = [
  [new RegExp(`^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \\d{2} ${month} \\d{4} ${time} GMT$`), ""],
  [
    new RegExp(`^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \\d{2}-${month}-\\d{2} ${time} GMT$`),
    "",
  ],
  [new RegExp(`^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${month} [ \\d]\\d ${time} \\d{4}$`), " GMT"],
];

/** POSIX milliseconds of a date (RFC 9110 §5.6.7); `undefined` for anything else. */
export function dateOf(text: string | undefined): number | undefined {
  const found = text === undefined ? undefined : forms.find(([form]) => form.test(text));
  const ms = found === undefined ? Number.NaN : Date.parse(`${text}${found[1]}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** True if the client has what is there already. What is no date is no condition. */
export function isFresh(
  headers: IncomingHttpHeaders,
  is: { readonly etag: string; readonly lastModified?: string },
): boolean {
  const sinceMs = dateOf(headers["if-modified-since"]);
  const since = sinceMs === undefined ? undefined : new Date(sinceMs).toUTCString();
  const known = { ...headers, "if-modified-since": since };
  return fresh(known, { etag: is.etag, "last-modified": is.lastModified });
}
