// The last runs of the playground, in this browser alone.
import type { Shared } from "./share";

export interface Run extends Shared {
  at: number;
  /** `2 messages`, `1 error`. */
  result: string;
}

const KEY = "logphase.runs";
const MOST_RUNS = 20;
const MOST_CHARACTERS = 512 * 1024;

export function runs(): Run[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? (stored as Run[]) : [];
  } catch {
    return [];
  }
}

/** Adds a run in front, and lets go of the oldest beyond the bounds. A run of the same texts replaces the one before. */
export function remember(run: Run): Run[] {
  const same = (other: Run) => other.configuration === run.configuration && other.transaction === run.transaction;
  const list = [run, ...runs().filter((other) => !same(other))].slice(0, MOST_RUNS);
  while (list.length > 1 && JSON.stringify(list).length > MOST_CHARACTERS) list.pop();
  try {
    localStorage.setItem(KEY, JSON.stringify(list));
  } catch {
    // Full or switched off: the list lasts as long as the page.
  }
  return list;
}

export function forget(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // There is nothing to forget.
  }
}
