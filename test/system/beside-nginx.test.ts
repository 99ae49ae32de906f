import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Prng } from "../../src/core/base/index.ts";
import {
  type DrawnRequest,
  exchange,
  type HttpAnswer,
  headOf,
  RequestDrawer,
  type Validators,
} from "../support/http-requests.ts";
import { LightProcess } from "../support/light.ts";
import { seedOf } from "../support/load.ts";
import { type Net, startNet } from "../support/net.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { publisherOf } from "../support/publisher.ts";
import { needTools } from "../support/tools.ts";

const files: Readonly<Record<string, Buffer>> = {
  "/a.txt": Buffer.from("a\n".repeat(50)),
  "/empty.txt": Buffer.alloc(0),
  "/sub/b.json": Buffer.from('{"b":1}\n'),
  "/sub/deep/large.gz": randomBytes(300_000),
  "/with index/index.html": Buffer.from("<p>index</p>\n"),
  "/ünï +100%.txt": Buffer.from("odd name\n"),
};
const others = ["/", "/sub", "/sub/", "/sub/deep/", "/with%20index/", "/with%20index", "/none"];
const missing = ["/none/", "/a.txt/", "/sub/../none", "/sub/none.txt"];

interface Compared {
  readonly request: DrawnRequest;
  readonly size: number | undefined;
  readonly ours: HttpAnswer;
  readonly theirs: HttpAnswer;
}

const header = ({ request }: Compared, name: string): string | undefined =>
  request.headers.find(([given]) => given === name)?.[1];
const statuses = ({ ours, theirs }: Compared): string => `${ours.status} ${theirs.status}`;

function isValidRange(range: string): boolean {
  const form = /^\s*bytes=\s*((\d+-\d*|-\d+)\s*(,\s*(\d+-\d*|-\d+)\s*)*)$/.exec(range);
  const parts = form?.[1]?.split(",").map((part) => part.trim().split("-")) ?? [[""]];
  return parts.every(
    ([from = "", to = ""]) => from + to !== "" && (from === "" || to === "" || +from <= +to),
  );
}

/** Why the two may differ. Each must come about, so that none stays here that is true no more. */
const explained: Readonly<Record<string, (is: Compared) => boolean>> = {
  "a range of a HEAD is ignored: GET alone has ranges (RFC 9110 §14.2)": (is) =>
    is.request.method === "HEAD" && header(is, "Range") !== undefined && is.ours.status === 200,
  "of several ranges the whole is sent, as is allowed (§14.2)": (is) =>
    header(is, "Range")?.includes(",") === true && statuses(is) === "200 206",
  "a range that is none is ignored (§14.2); nginx refuses it": (is) =>
    !isValidRange(header(is, "Range") ?? "bytes=0-") && statuses(is) === "200 416",
  "a number beyond all measure is beyond the end; nginx calls it no number": (is) =>
    /\d{19}/.test(header(is, "Range") ?? "") && /^(206|416) 416$/.test(statuses(is)),
  "no byte of an empty file can be sent (§14.1.2); nginx sends the whole": (is) =>
    is.size === 0 && header(is, "Range") !== undefined && statuses(is) === "416 200",
  "not modified since a later date (§13.1.3); nginx wants its own date": (is) =>
    header(is, "If-Modified-Since") !== undefined &&
    header(is, "If-None-Match") === undefined &&
    is.ours.status === 304,
  "of two conditions the tag decides alone (§13.2.2); nginx wants the date too": (is) =>
    header(is, "If-None-Match") !== undefined &&
    header(is, "If-Modified-Since") !== undefined &&
    is.ours.status === 304,
  "where If-Match holds, If-Unmodified-Since is not looked at (§13.2.2); nginx does": (is) =>
    header(is, "If-Match") !== undefined &&
    header(is, "If-Unmodified-Since") !== undefined &&
    is.theirs.status === 412,
  "what is no date is no condition (§13.1.4)": (is) =>
    header(is, "If-Unmodified-Since") === "yesterday" && is.theirs.status === 412,
  "pages that are made have no validators": (is) => is.size === undefined,
};

/** What differs in two answers, as far as it is to be the same. */
function differences({ size, ours, theirs }: Compared): readonly string[] {
  if (ours.status !== theirs.status) return [`status ${ours.status}, nginx ${theirs.status}`];
  const isPart = ours.status === 206 || ours.status === 416;
  const names = isPart ? ["content-range"] : ["location"];
  const isBody = size !== undefined && (ours.status === 200 || ours.status === 206);
  if (isBody) names.push("content-length");
  const found = names.flatMap((name) => {
    const [own, other] = [ours.headers.get(name), theirs.headers.get(name)];
    return own?.replace(/^\/t(?=\/)/, "") === other ? [] : [`${name} ${own}, nginx ${other}`];
  });
  if (isBody && !ours.body.equals(theirs.body)) found.push("the bytes");
  return found;
}

const unknown: Validators = { etag: '"none"', date: "Sun, 06 Nov 1994 08:49:37 GMT" };

describe("valid requests, beside nginx with the same directory", () => {
  let net: Net;
  let light: LightProcess;
  let nginx: Nginx;
  let work: string;
  const seed = seedOf("beside-nginx");
  const encoded = (path: string): string => path.split("/").map(encodeURIComponent).join("/");

  before(async () => {
    needTools("nginx");
    net = await startNet({ writers: 1, readers: 1, logLevel: "warn" });
    work = await mkdtemp(join(tmpdir(), "smalti-nginx-"));
    const source = join(work, "source");
    for (const [path, bytes] of Object.entries(files)) {
      await mkdir(join(source, path, ".."), { recursive: true });
      await writeFile(join(source, path), bytes);
    }
    for (const path of [work, source]) await chmod(path, 0o755);
    await net.agree(await (await publisherOf(net)).publish(source, "t"));
    nginx = await startNginx(source, work);
    light = await LightProcess.start(net, [net.host("r0").http]);
  });
  after(async () => {
    await light?.end();
    await nginx?.stop();
    await net?.stop();
    await rm(work, { recursive: true, force: true });
  });

  async function validators(base: string): Promise<ReadonlyMap<string, Validators>> {
    const all = Object.keys(files).map(async (path) => {
      const request = { method: "HEAD", path: encoded(path), version: "1.1", headers: [] } as const;
      const { headers } = await exchange(base, headOf(request, prefixOf(base), unknown));
      const own = { etag: headers.get("etag") ?? "", date: headers.get("last-modified") ?? "" };
      return [encoded(path), own] as const;
    });
    return new Map(await Promise.all(all));
  }

  const prefixOf = (base: string): string => (base === nginx.url ? "" : "/t");

  for (const [name, count] of [
    ["a reader", 2000],
    ["smalti light", 600],
  ] as const)
    test(`${count} drawn requests to ${name}: the same answer, or an explained one`, async () => {
      const base = name === "a reader" ? net.host("r0").http : light.url;
      const [own, other] = await Promise.all([validators(base), validators(nginx.url)]);
      const all = Object.entries(files).map(([path, bytes]) => ({
        path: encoded(path),
        size: bytes.length,
      }));
      const drawer = new RequestDrawer(new Prng(seed), all, [...others, ...missing]);
      const explanations = new Map<string, number>();
      for (let i = 0; i < count; i++) {
        const { request, file } = drawer.draw();
        const ask = (to: string, known: ReadonlyMap<string, Validators>): Promise<HttpAnswer> =>
          exchange(to, headOf(request, prefixOf(to), known.get(file ?? "") ?? unknown));
        const [ours, theirs] = await Promise.all([ask(base, own), ask(nginx.url, other)]);
        const size = all.find(({ path }) => path === file)?.size;
        const compared = { request, size, ours, theirs };
        const differ = differences(compared);
        if (differ.length === 0) continue;
        const why = Object.keys(explained).find((each) => explained[each]?.(compared));
        assert.ok(
          why,
          `request ${i} of seed ${seed}: ${differ.join("; ")}\n${headOf(request, "", unknown)}`,
        );
        explanations.set(why, (explanations.get(why) ?? 0) + 1);
      }
      if (name === "a reader")
        assert.deepEqual(
          Object.keys(explained).filter((why) => !explanations.has(why)),
          [],
          "explained, and never seen",
        );
    });
});
