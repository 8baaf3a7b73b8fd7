import assert from "node:assert/strict";
import { test } from "node:test";
import { changedBy, diff, fold, MOST_ROWS } from "../src/lib/diff";
import { parse, print, type Json } from "../src/lib/json";
import { numbers, value } from "./random";

const lines = (rows: (string | null)[]) => rows.filter((row): row is string => row !== null).map((row) => row.trim());

/** The members of an object in the order of their names: a difference has its own order. */
function sorted(of: Json): Json {
  if (Array.isArray(of)) return of.map(sorted);
  if (typeof of !== "object" || of === null) return of;
  return Object.fromEntries(
    Object.entries(of)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner as Json)]),
  );
}

// Scenario: random messages before and after. Guarantees: each side has all of its own message and nothing else, and equal messages have
// no difference.
test("each side is its whole message", () => {
  for (let seed = 0; seed < 3000; seed += 1) {
    const next = numbers(seed);
    const [before, after] = [value(next, 3), value(next, 3)];
    const { rows } = diff(before, after);
    for (const [side, whole] of [
      [rows.map((row) => row.left), before],
      [rows.map((row) => row.right), after],
    ] as const) {
      // Commas belong to places: a last member of one side may not be the last of the rows.
      const text = lines([...side])
        .join("\n")
        .replaceAll(/,(?=\n\s*[\]}])/g, "");
      const read = JSON.parse(text.replaceAll(/,(?=\s*[\]}]|$)/g, "")) as Json;
      assert.equal(print(sorted(read), 0), print(sorted(whole), 0), `seed ${seed}`);
    }
    assert.ok(diff(after, after).rows.every((row) => row.kind === "same"));
  }
});

// Scenario: random messages, folded. Guarantees: no difference is folded away, and what is folded is equal.
test("differences stay in sight", () => {
  for (let seed = 0; seed < 500; seed += 1) {
    const next = numbers(seed);
    const { rows } = diff(value(next, 4), value(next, 4));
    const shown = fold(rows, new Set());
    const seen = shown.flatMap((entry) => ("row" in entry ? [entry.row] : entry.folded));
    assert.deepEqual(seen, rows);
    for (const entry of shown) if ("folded" in entry) assert.ok(entry.folded.every((row) => row.kind === "same"));
  }
});

// Scenario: a message of a megabyte. Guarantees: the rows are bounded, and it says so.
test("rows are bounded", () => {
  const large = Array.from({ length: 100_000 }, (_, index) => index);
  const { rows, truncated } = diff([], large);
  assert.ok(truncated && rows.length === MOST_ROWS);
});

// Scenario: a number that JavaScript writes in another way. Guarantees: it is shown as it was sent, where the browser tells its digits.
test("numbers keep their digits", () => {
  const text = '{"id":12345678901234567890,"ratio":1.0}';
  const told =
    JSON.stringify(
      JSON.parse("1.0", function (this: unknown, ...all: unknown[]) {
        return all.length;
      } as never),
    ) === "3";
  assert.equal(print(parse(text), 0), told ? text : '{"id":12345678901234567000,"ratio":1}');
});

// Scenario: changes of several snippets. Guarantees: the last one that made what is at a path is named, and no other.
test("a change has its author", () => {
  const change = (by: string, path: string) => ({ by, path, plugin: "p", mode: "set" });
  const all = [change("one", "a"), change("two", "a.b"), change("three", "ab")];
  assert.equal(changedBy(all, "a.b.c")?.by, "two");
  assert.equal(changedBy(all, "a.x")?.by, "one");
  assert.equal(changedBy(all, "ab")?.by, "three");
  assert.equal(changedBy(all, "c"), undefined);
});
