import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { printable, printableJson } from "../../src/cli/output.ts";

const esc = String.fromCharCode(27);
const unseen = `${esc}\u007f\u009b\u202e\u200e\u200f\u061c\u200b\ufeff\u2060\u2028\u2029\r\u{e0041}`;

describe("what comes from others and is shown on a terminal", () => {
  test("nothing of it conceals, moves the cursor, retitles the window or turns the direction of text", () => {
    const hostile = [
      `${esc}[8mhidden`,
      `${esc}[30;40mblack on black`,
      `${esc}[38;5;0mblack`,
      `${esc}[2J`,
      `${esc}]0;title\u0007`,
      "\u009b8m",
      "file\u202egnp.exe",
      "left\u200eright\u200f\u061c",
      "zero\u200bwidth\ufeff\u2060",
      "line\u2028and\u2029paragraph",
      "\r over",
    ];
    for (const text of hostile) {
      const shown = printable(text, true);
      assert.ok(shown.includes("\ufffd"), JSON.stringify(text));
      for (const character of shown) assert.ok(!unseen.includes(character), JSON.stringify(shown));
    }
  });

  test("colours that we use, line ends, tabs, and joiners within words pass", () => {
    for (const text of [
      `${esc}[32mok${esc}[39m`,
      "a\tb\nc",
      "\u0645\u06cc\u200c\u062e",
      "\u{1f469}\u200d\u{1f52c}",
    ])
      assert.equal(printable(text, true), text);
  });

  test("where there are no colours, nothing that looks like one passes", () => {
    assert.equal(printable(`${esc}[32mok${esc}[39m`, false), "\ufffdok\ufffd");
  });

  test("property: JSON means what it meant, and shows nothing that is not seen", () => {
    const odd = fc.constantFrom("\u202e", "\u200b", esc, "\u007f", "\u{e0041}", "\n", "é", "x");
    fc.assert(
      fc.property(
        fc.array(odd).map((parts) => parts.join("")),
        (name) => {
          const json = printableJson({ [name]: [name] }, 2);
          assert.deepEqual(JSON.parse(json), { [name]: [name] });
          for (const character of json) assert.ok(!unseen.includes(character), json);
        },
      ),
    );
  });
});
