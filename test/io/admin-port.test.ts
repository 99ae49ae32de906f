import assert from "node:assert/strict";
import { test } from "node:test";
import { foreign } from "../../src/app/node/admin.ts";

test("the admin port answers to addresses, localhost and names that are configured, and to no page of the web", () => {
  const own = [
    { host: "127.0.0.1:26660" },
    { host: "[::1]:26660" },
    { host: "localhost" },
    { host: "10.1.2.3:80" },
    { host: "Mirror.example:26660" },
    { host: "127.0.0.1:1", "sec-fetch-site": "none" as const },
    {},
  ];
  for (const headers of own) assert.equal(foreign(headers, ["Mirror.Example"]), undefined);
  const others = [
    { host: "evil.example:26660" },
    { host: "127.0.0.1.evil.example" },
    { host: "" },
    { host: "127.0.0.1:1", origin: "http://evil.example" },
    { host: "127.0.0.1:1", origin: "null" },
    { host: "localhost", "sec-fetch-site": "cross-site" as const },
    { host: "localhost", "sec-fetch-site": "same-site" as const },
  ];
  for (const headers of others)
    assert.notEqual(foreign(headers, ["mirror.example"]), undefined, JSON.stringify(headers));
});
