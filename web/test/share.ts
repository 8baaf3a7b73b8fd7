import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, duration, rate } from "../src/lib/format";
import { pack, unpack } from "../src/lib/share";

// Scenario: texts in an address. Guarantees: they come back as they were, in letters that need no escape.
test("an address holds the texts", async () => {
  const shared = { configuration: 'é: "ü"\n'.repeat(2000), transaction: "{}", settings: "" };
  const packed = await pack(shared);
  assert.match(packed, /^[\w-]+$/);
  assert.ok(packed.length < 300);
  assert.deepEqual(await unpack(packed), shared);
});

// Scenario: addresses that were cut, made up, or unpack to far too much. Guarantees: an error that says so, and no more memory.
test("a wrong address is refused", async () => {
  const packed = await pack({ configuration: "a", transaction: "b" });
  const bomb = await pack({ configuration: "a".repeat(50_000_000), transaction: "" });
  for (const wrong of ["", "!", packed.slice(0, -6), btoa("{}"), bomb]) {
    await assert.rejects(unpack(wrong), /does not hold a playground/);
  }
});

// Scenario: figures of all sizes. Guarantees: they are short, with their units.
test("figures are short", () => {
  assert.deepEqual([0, 0.01, 3.14159, 12345, 2e6].map(rate), ["0/s", "<0.1/s", "3.1/s", "12,345/s", "2M/s"]);
  assert.deepEqual([0, 1023, 1536, 3 * 2 ** 30].map(bytes), ["0 B", "1,023 B", "1.5 KiB", "3.0 GiB"]);
  assert.deepEqual([0.02, 4.26, 60, 200, 90000].map(duration), ["20 ms", "4.3 s", "1 min", "3 min 20 s", "1 d 1 h"]);
  assert.deepEqual([null, 99_999, 1_234_567].map(count), ["–", "99,999", "1.2M"]);
});
