import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { roomsFor, verbRooms } from "../../src/cli/verbs.ts";

test("each room of verbs defines the verbs that stand beside it, and no others", async () => {
  for (const { verbs, load } of verbRooms) {
    const program = new Command();
    (await load())(program);
    assert.deepEqual(
      program.commands.map((command) => command.name()),
      verbs,
    );
  }
});

test("a verb loads its own room; what is no verb loads all", () => {
  assert.deepEqual(
    roomsFor("evidence").map(({ verbs }) => verbs),
    [["opinion", "evidence"]],
  );
  for (const word of ["--help", "help", "nosuch", undefined])
    assert.equal(roomsFor(word), verbRooms);
});
