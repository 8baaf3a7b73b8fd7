import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, elementErrors, initials, messageOf, ofPlugin, withoutNulls, type Field } from "../src/lib/schema";

const fields: Record<string, Field>[] = [
  { id: { type: "string", auto: true } },
  { name: { type: "string", required: true } },
  { tags: { type: "set", elements: { type: "string" } } },
  {
    config: {
      type: "record",
      required: true,
      fields: [
        { port: { type: "integer", default: 80 } },
        { lua: { type: "map", values: { type: "string" } } },
        { tls: { type: "record", fields: [{ verify: { type: "boolean", default: true } }] } },
        { old: { type: "integer", deprecation: { message: "gone" } } },
      ],
    },
  },
];

// Scenario: a change of some fields. Guarantees: the body has these alone; a record is merged, a map is whole, what is emptied is null.
test("a change is what differs", () => {
  const before = { id: "1", name: "a", tags: ["x"], config: { port: 80, lua: { a: "1", b: "2" }, tls: null } };
  assert.deepEqual(changes(fields, before, structuredClone(before)), {});
  const after = { ...before, tags: null, config: { port: 81, lua: { b: "2" }, tls: { verify: true } } };
  assert.deepEqual(changes(fields, before, after), {
    tags: null,
    config: { port: 81, lua: { b: "2" }, tls: { verify: true } },
  });
});

// Scenario: a new entity. Guarantees: it begins with the defaults, required records included, and is sent without what is not set.
test("a new entity has the defaults", () => {
  const values = initials(fields);
  assert.deepEqual(values, { name: null, tags: null, config: { port: 80, lua: null, tls: null } });
  assert.deepEqual(withoutNulls({ ...values, name: "a" }), { name: "a", config: { port: 80 } });
});

// Scenario: a plugin's own schema. Guarantees: its fields come in place of those of all plugins, and what it cannot have is left out.
test("a plugin has its own fields", () => {
  const all = {
    fields: [
      { name: { type: "string" } },
      { consumer: { type: "foreign" } },
      { config: { type: "record", abstract: true } },
    ],
  };
  const own = {
    fields: [{ consumer: { type: "foreign", eq: null } }, { config: { type: "record", required: true, fields: [] } }],
  };
  assert.deepEqual(Object.keys(initials(ofPlugin(all, own).fields)), ["name", "config"]);
});

// Scenario: errors as Kong nests them. Guarantees: each is found at its place, in lists by index.
test("errors are at their places", () => {
  assert.equal(messageOf("wrong"), "wrong");
  assert.equal(messageOf({ port: "wrong" }), null);
  assert.equal(messageOf({ "@entity": ["one", "two"] }), "one; two");
  assert.deepEqual(elementErrors([null, { port: "wrong" }], 1), { port: "wrong" });
  assert.deepEqual(elementErrors({ "2": { port: "wrong" } }, 1), { port: "wrong" });
});
