// The lines of two JSON values side by side, by their structure: a member that moved is no difference.
import type { Change } from "./types";
import { Exact, isObject, print, type Json } from "./json";

export interface Row {
  kind: "same" | "added" | "removed" | "changed";
  left: string | null;
  right: string | null;
  /** The path of the member, as a key path of an edit has it. */
  path: string;
  /** Whether it is the first row of what changed. */
  first: boolean;
  /** Whether something below it changed. */
  above: boolean;
}

/** More rows than this are not made: a message can have a megabyte. */
export const MOST_ROWS = 4000;

class Rows {
  readonly rows: Row[] = [];
  truncated = false;

  add(row: Partial<Row> & Pick<Row, "kind" | "left" | "right" | "path">): void {
    if (this.rows.length >= MOST_ROWS) {
      this.truncated = true;
      return;
    }
    this.rows.push({ first: false, above: false, ...row });
  }

  /** All lines of a value that is on one side only. */
  whole(kind: "same" | "added" | "removed", value: Json, prefix: string, comma: string, level: number, path: string) {
    const space = "  ".repeat(level);
    const lines = print(value, 2, level).split("\n");
    lines.forEach((line, index) => {
      const start = index === 0 ? space + prefix : "";
      const text = start + line + (index === lines.length - 1 ? comma : "");
      this.add({
        kind,
        left: kind === "added" ? null : text,
        right: kind === "removed" ? null : text,
        path,
        first: index === 0 && kind !== "same",
      });
    });
  }

  both(before: Json, after: Json, prefix: string, comma: string, level: number, path: string): boolean {
    const [open, close] = Array.isArray(after) ? ["[", "]"] : ["{", "}"];
    const members = pairs(before, after);
    if (members === null || members.length === 0) return this.leaf(before, after, prefix, comma, level, path);
    const space = "  ".repeat(level);
    const head = this.rows.length;
    this.add({ kind: "same", left: space + prefix + open, right: space + prefix + open, path });
    let changed = false;
    members.forEach(({ name, label, before: old, after: now }, index) => {
      const inner = index === members.length - 1 ? "" : ",";
      const below = path === "" ? escape(name) : `${path}.${escape(name)}`;
      if (old === undefined && now !== undefined) this.whole("added", now, label, inner, level + 1, below);
      else if (now === undefined && old !== undefined) this.whole("removed", old, label, inner, level + 1, below);
      else if (old !== undefined && now !== undefined && !this.both(old, now, label, inner, level + 1, below)) return;
      changed = true;
    });
    const tail = this.rows.length;
    this.add({ kind: "same", left: space + close + comma, right: space + close + comma, path });
    for (const index of [head, tail]) {
      const row = this.rows[index];
      if (row) row.above = changed;
    }
    return changed;
  }

  private leaf(before: Json, after: Json, prefix: string, comma: string, level: number, path: string): boolean {
    if (same(before, after)) {
      this.whole("same", after, prefix, comma, level, path);
      return false;
    }
    if (isLeaf(before) && isLeaf(after)) {
      const line = (value: Json) => "  ".repeat(level) + prefix + print(value, 0) + comma;
      this.add({ kind: "changed", left: line(before), right: line(after), path, first: true });
    } else {
      this.whole("removed", before, prefix, comma, level, path);
      this.whole("added", after, prefix, comma, level, path);
    }
    return true;
  }
}

interface Pair {
  name: string;
  label: string;
  before: Json | undefined;
  after: Json | undefined;
}

/** The members of two containers of one kind, in the order of the second; what it lacks stays behind its predecessor. */
function pairs(before: Json, after: Json): Pair[] | null {
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, index) => ({
      name: String(index),
      label: "",
      before: before[index],
      after: after[index],
    }));
  }
  if (!isObject(before) || !isObject(after)) return null;
  const order: string[] = [];
  const old = Object.keys(before);
  let next = 0;
  const takeGone = () => {
    while (next < old.length && !Object.hasOwn(after, old[next] ?? "")) order.push(old[next++] ?? "");
  };
  takeGone();
  for (const name of Object.keys(after)) {
    order.push(name);
    if (old[next] === name) {
      next += 1;
      takeGone();
    }
  }
  const listed = new Set(order);
  order.push(...old.filter((name) => !listed.has(name)));
  return order.map((name) => ({
    name,
    label: `${JSON.stringify(name)}: `,
    before: Object.hasOwn(before, name) ? before[name] : undefined,
    after: Object.hasOwn(after, name) ? after[name] : undefined,
  }));
}

const isLeaf = (value: Json) => value instanceof Exact || typeof value !== "object" || value === null;
const same = (a: Json, b: Json) => a === b || print(a, 0) === print(b, 0);
const escape = (name: string) => name.replaceAll("\\", "\\\\").replaceAll(".", "\\.");

export function diff(before: Json, after: Json): { rows: Row[]; truncated: boolean } {
  const rows = new Rows();
  rows.both(before, after, "", "", 0, "");
  return { rows: rows.rows, truncated: rows.truncated };
}

/** Rows, and runs of equal rows that are folded away. */
export type Shown = { row: Row } | { folded: Row[]; at: number };

/** Equal rows around a difference that stay. */
const CONTEXT = 1;

export function fold(rows: Row[], open: ReadonlySet<number>): Shown[] {
  const wanted = rows.map((row) => row.kind !== "same" || row.above);
  const near = (index: number) => {
    for (let other = index - CONTEXT; other <= index + CONTEXT; other += 1) {
      if (rows[other] && wanted[other] && rows[other]?.kind !== "same") return true;
    }
    return wanted[index] ?? false;
  };
  const shown: Shown[] = [];
  let run: Row[] = [];
  let at = 0;
  const flush = () => {
    if (run.length > 2 && !open.has(at)) shown.push({ folded: run, at });
    else shown.push(...run.map((row) => ({ row })));
    run = [];
  };
  rows.forEach((row, index) => {
    if (near(index)) {
      flush();
      shown.push({ row });
    } else {
      if (run.length === 0) at = index;
      run.push(row);
    }
  });
  flush();
  return shown;
}

/** Who changed what is at `path`: the last change of it, of what it is in, or of what is in it. */
export function changedBy(changes: Change[], path: string): Change | undefined {
  const within = (outer: string, inner: string) => inner === outer || inner.startsWith(`${outer}.`);
  return changes.findLast((change) => within(change.path, path) || within(path, change.path));
}
