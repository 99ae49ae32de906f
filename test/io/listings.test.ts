import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { directoryPage } from "../../src/app/gateway/listing.ts";
import { Listings, pageEntriesMax } from "../../src/app/gateway/listings.ts";
import type { Digest } from "../../src/core/base/index.ts";
import { sha256 } from "../../src/core/crypto/index.ts";
import { DirectoryStore, type Entry, MissingNodeError } from "../../src/core/mirror/index.ts";

describe("listings", () => {
  const nodes = new Map<Digest, Uint8Array>();
  let reads = 0;
  const store = new DirectoryStore(
    (root) => {
      reads++;
      return nodes.get(root);
    },
    (root, node) => nodes.set(root, node),
  );
  const entry: Entry = {
    kind: "file",
    digest: sha256(Buffer.from("x")),
    size: 1,
    executable: false,
  };
  const directoryOf = (count: number): Digest => {
    const names = Array.from({ length: count }, (_, i) => `file ${String(i).padStart(6, "0")}`);
    const made = store.edit(undefined, new Map(names.map((name) => [name, entry])));
    assert.ok(made !== undefined);
    return made.root;
  };

  test("a long one comes in pages, in name order, and its nodes are read once", async () => {
    const [root, listings] = [directoryOf(2 * pageEntriesMax + 5), new Listings()];
    reads = 0;
    const seen: string[] = [];
    let after: string | undefined = "";
    let pages = 0;
    while (after !== undefined) {
      const page = await listings.page(store, root, after);
      assert.ok(page.entries.length <= pageEntriesMax);
      assert.equal(page.total, 2 * pageEntriesMax + 5);
      seen.push(...page.entries.map(({ name }) => name));
      after = page.more;
      pages++;
    }
    assert.equal(pages, 3);
    assert.deepEqual(
      seen,
      store.list(root).map(({ name }) => name),
    );
    const once = reads / 2;
    await Promise.all(Array.from({ length: 20 }, () => listings.page(store, root, "")));
    assert.equal(reads / 2, once, "what is known is not read again");
    assert.deepEqual((await listings.page(store, root, "~")).entries, []);
  });

  test("other things have their turn while it is made", async () => {
    const root = directoryOf(20_000);
    let turns = 0;
    const tick = setInterval(() => turns++, 1);
    await new Listings().page(store, root, "");
    clearInterval(tick);
    assert.ok(turns > 0);
  });

  test("what cannot be read is an error, and is looked for again", async () => {
    const [root, listings] = [directoryOf(3), new Listings()];
    const node = nodes.get(root);
    nodes.delete(root);
    await assert.rejects(listings.page(store, root, ""), MissingNodeError);
    nodes.set(root, node ?? new Uint8Array(0));
    assert.equal((await listings.page(store, root, "")).total, 3);
    assert.equal((await listings.page(store, undefined, "")).total, 0);
  });

  test("a page says how much it shows, and where it goes on; names are never markup", () => {
    const name = `<b>&"'`;
    const page = directoryPage({
      path: "/t/",
      height: 1,
      moniker: "m",
      entries: [{ name, entry }],
      total: 7,
      more: name,
    });
    assert.match(page, /1 of 7 entries/);
    assert.ok(page.includes(`href="?after=${encodeURIComponent(name)}"`));
    assert.ok(!page.includes("<b>"));
  });
});
