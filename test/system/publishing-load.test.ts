import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Net, startNet, until } from "../support/net.ts";
import { publisherOf } from "../support/publisher.ts";

describe("many publishers at once", () => {
  let net: Net;
  before(async () => {
    net = await startNet({ writers: 4, readers: 1, logLevel: "warn" });
  });
  after(() => net.stop());

  test("a reader shows newer heights while it goes on, and all of them in the end", async (t) => {
    const [reader, writer] = [net.host("r0"), net.host("w0")];
    const publisher = await publisherOf(net);
    let isOver = false;
    const heights: number[] = [];
    const publishAgain = async (client: number): Promise<void> => {
      const directory = join(net.directory, `publishing-${client}`);
      await mkdir(directory);
      for (let i = 0; !isOver; i++) {
        await writeFile(join(directory, "file"), `${client} ${i}`);
        heights.push(await publisher.publish(directory, `tree-${client}`));
      }
    };
    const clients = Array.from({ length: 16 }, (_, i) => publishAgain(i));
    const shown = new Set<number>();
    const look = async (): Promise<void> => {
      shown.add((await reader.status()).height as number);
    };
    // Were it to compare the newest checkpoint only, it would show none of them before the load ends.
    await until(
      async () => look().then(() => heights.length > 60 && shown.size > 5),
      60_000,
      "news",
    );
    isOver = true;
    await Promise.all(clients);
    const newest = Math.max(...heights);
    await until(async () => ((await reader.status()).height as number) >= newest, 20_000, "all");
    t.diagnostic(`${heights.length} published; the reader was seen at ${shown.size} heights`);
    assert.equal((await writer.status()).height, newest);
  });
});
