import assert from "node:assert/strict";
import { test } from "node:test";
import { chosen, layout, SHOWN_PLUGINS, sparkline, type Box, type Step } from "../src/lib/flow";

function step(order: number, rate: number, problem: Step["problem"] = null, emits = true): Step {
  const rates = { delivered: rate, enqueued: rate, dropped: 0, retried: 0, failed: 0 };
  const sink = emits ? { kind: "tcp", target: "a:1" } : null;
  const plugin = {
    id: `${order}`,
    name: "tcp-log",
    instance_name: null,
    scope: "global",
    priority: 7,
    order,
    sink,
    rates,
  };
  return { plugin, status: undefined, queue: null, shares: null, rates, problem };
}

const overlap = (a: Box, b: Box) =>
  a !== b && a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

// Scenario: maps of all widths, with few and many inputs and plugins. Guarantees: no box lies on another, and none is out of the picture.
test("boxes do not overlap", () => {
  for (const width of [300, 360, 779, 780, 1200, 2700]) {
    for (const [inputs, plugins] of [
      [0, 0],
      [1, 1],
      [8, 2],
      [1, 100],
      [3, 12],
    ] as const) {
      const steps = Array.from({ length: plugins }, (_, order) => step(order, 1, null, order % 3 !== 0));
      const place = layout(width, inputs, steps);
      const rows = place.plugins.flatMap(({ plugin, queue, sink }) => [...new Set([plugin, queue, sink])]);
      const boxes = [...place.inputs, place.logPhase, ...rows];
      for (const box of boxes) {
        assert.ok(box.x >= 0 && box.x + box.width <= width + 0.01, `${width}: ${JSON.stringify(box)}`);
        assert.ok(
          box.y >= 0 && box.y + box.height <= place.height,
          `${width}: ${JSON.stringify(box)} in ${place.height}`,
        );
        assert.ok(!boxes.some((other) => overlap(box, other)), `${width} ${inputs} ${plugins}`);
      }
    }
  }
});

// Scenario: a hundred plugins, of which a quiet one fails. Guarantees: it is drawn, and so is the chosen one; the order stays.
test("what fails is drawn", () => {
  const all = Array.from({ length: 100 }, (_, order) => step(order, order, order === 3 ? "error" : null));
  const drawn = chosen(all, false, "5").map(({ plugin }) => plugin.order);
  assert.equal(drawn.length, SHOWN_PLUGINS);
  assert.ok(drawn.includes(3) && drawn.includes(5) && drawn.includes(99));
  assert.deepEqual(
    drawn,
    [...drawn].sort((a, b) => a - b),
  );
  assert.equal(chosen(all, true, null).length, 100);
});

// Scenario: an hour with gaps. Guarantees: nothing is drawn where nothing is known.
test("a gap stays a gap", () => {
  const box = { x: 0, y: 0, width: 10, height: 10 };
  assert.equal(sparkline([1, null, 1], box), "M0.0 0.0M10.0 0.0");
  assert.equal(sparkline([], box), "");
  assert.equal(sparkline([null], box), "");
});
