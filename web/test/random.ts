import type { Json } from "../src/lib/json";

/** Numbers from 0 to 1 that follow from `seed`. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

const NAMES = ["a", "b.c", "long name", "", "é", "__proto__", "0"];

/** A random value, nested to `depth` at most. */
export function value(next: () => number, depth: number): Json {
  const kind = Math.floor(next() * (depth > 0 ? 7 : 5));
  if (kind === 0) return null;
  if (kind === 1) return next() < 0.5;
  if (kind === 2) return Math.floor(next() * 5);
  if (kind === 3) return "line\nend";
  if (kind === 4) return ["", "text", '"'][Math.floor(next() * 3)] ?? "";
  const length = Math.floor(next() * 4);
  if (kind === 5) return Array.from({ length }, () => value(next, depth - 1));
  const names = NAMES.filter(() => next() < 0.5);
  return Object.fromEntries(names.map((name) => [name, value(next, depth - 1)]));
}
