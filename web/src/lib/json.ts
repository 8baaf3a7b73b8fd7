// JSON whose numbers keep their digits: an id of 20 digits is shown as it was sent, where the browser says what it read.

/** A number that a JavaScript number does not write the same way. */
export class Exact {
  constructor(readonly source: string) {}
}

export type Json = null | boolean | number | string | Exact | Json[] | { [key: string]: Json };

type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;

const exact: Reviver = (_, value, context) =>
  typeof value === "number" && context?.source !== undefined && context.source !== String(value)
    ? new Exact(context.source)
    : value;

export function parse(text: string): Json {
  return JSON.parse(text, exact as (this: unknown, key: string, value: unknown) => unknown) as Json;
}

export function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Exact);
}

/** The text of a value, with `indent` spaces for each level; on one line with 0. */
export function print(value: Json, indent = 2, level = 0): string {
  if (value instanceof Exact) return value.source;
  if (Array.isArray(value)) {
    return block(
      "[",
      "]",
      value.map((element) => print(element, indent, level + 1)),
      indent,
      level,
    );
  }
  if (isObject(value)) {
    const members = Object.entries(value).map(
      ([key, member]) => `${JSON.stringify(key)}:${indent > 0 ? " " : ""}${print(member, indent, level + 1)}`,
    );
    return block("{", "}", members, indent, level);
  }
  return JSON.stringify(value);
}

function block(open: string, close: string, parts: string[], indent: number, level: number): string {
  if (parts.length === 0) return open + close;
  if (indent === 0) return open + parts.join(",") + close;
  const space = " ".repeat(indent * (level + 1));
  return `${open}\n${parts.map((part) => space + part).join(",\n")}\n${" ".repeat(indent * level)}${close}`;
}

/** The member at a path of names. */
export function at(value: Json | undefined, ...path: string[]): Json | undefined {
  return path.reduce<Json | undefined>((inner, name) => (isObject(inner) ? inner[name] : undefined), value);
}

/** A member as a short text: a string without quotes. */
export function text(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : print(value, 0);
}
