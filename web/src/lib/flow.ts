// Where the parts of the flow map are: inputs -> log phase -> plugins in order -> queues -> sinks.
import type { FlowPlugin, Now, PluginStatus, Problem, QueueStatus, Rates } from "./types";

/** A plugin with its figures and the worst of its problems. */
export interface Step {
  plugin: FlowPlugin;
  status: PluginStatus | undefined;
  /** Its queue, or the one that it shares. */
  queue: QueueStatus | null;
  /** The plugin whose queue it shares. */
  shares: FlowPlugin | null;
  rates: Rates;
  problem: Problem["severity"] | null;
}

const NO_RATES: Rates = { delivered: 0, enqueued: 0, dropped: 0, retried: 0, failed: 0 };

/** Plugins that are drawn if there are more: those with problems and the busiest, in their order. */
export const SHOWN_PLUGINS = 12;

export function steps(now: Now): Step[] {
  const status = new Map((now.status.plugins ?? []).map((plugin) => [plugin.id, plugin]));
  const worst = new Map<string, Problem["severity"]>();
  for (const { where, severity } of now.problems) {
    if (where?.plugin && worst.get(where.plugin) !== "error") worst.set(where.plugin, severity);
  }
  const plugins = new Map(now.flow.plugins.map((plugin) => [plugin.id, plugin]));
  return now.flow.plugins.map((plugin) => {
    const owner = plugin.queue ?? plugin.id;
    return {
      plugin,
      status: status.get(plugin.id),
      queue: status.get(owner)?.queue ?? status.get(plugin.id)?.queue ?? null,
      shares: owner === plugin.id ? null : (plugins.get(owner) ?? null),
      rates: plugin.rates ?? NO_RATES,
      problem: worst.get(plugin.id) ?? null,
    };
  });
}

/** The steps that are drawn of `all`, and `selected` in any case. */
export function chosen(all: Step[], everything: boolean, selected: string | null): Step[] {
  if (everything || all.length <= SHOWN_PLUGINS) return all;
  const weight = (step: Step) =>
    (step.plugin.id === selected ? 4e12 : 0) +
    (step.problem === "error" ? 2e12 : step.problem === "warning" ? 1e12 : 0) +
    step.rates.delivered +
    step.rates.enqueued;
  const kept = new Set([...all].sort((a, b) => weight(b) - weight(a)).slice(0, SHOWN_PLUGINS));
  return all.filter((step) => kept.has(step));
}

/** How wide an edge is drawn for a rate: ten times the rate is one and a half pixels more. */
export function thickness(rate: number): number {
  return rate <= 0 ? 1 : Math.min(8, 1.5 + 1.5 * Math.log10(1 + rate));
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  vertical: boolean;
  width: number;
  height: number;
  inputs: Box[];
  logPhase: Box;
  plugins: { plugin: Box; queue: Box; sink: Box }[];
}

const ROW = 54;
const GAP = 12;

/** The layout for `width` units of which 14 are the size of the text. */
export function layout(width: number, inputs: number, shown: Step[]): Layout {
  return width < 780 ? vertical(width, inputs, shown) : horizontal(width, inputs, shown.length);
}

function horizontal(width: number, inputs: number, plugins: number): Layout {
  const share = [0.17, 0.15, 0.25, 0.19, 0.24];
  const gutter = Math.min(72, width * 0.04);
  const room = width - gutter * (share.length - 1) - 4;
  const widths = share.map((part) => part * room);
  const left = widths.map((_, index) => 2 + widths.slice(0, index).reduce((a, b) => a + b + gutter, 0));
  const rows = Math.max(inputs, plugins, 1);
  const height = rows * (ROW + GAP) - GAP + 4;
  const column = (index: number, y: number, boxHeight = ROW): Box => ({
    x: left[index] ?? 0,
    y,
    width: widths[index] ?? 0,
    height: boxHeight,
  });
  // With many plugins, the beginning of the way stays where one looks first.
  const middle = Math.min(height, 620) / 2;
  const top = (count: number) => Math.max(2, middle - (count * (ROW + GAP) - GAP) / 2);
  return {
    vertical: false,
    width,
    height,
    inputs: Array.from({ length: inputs }, (_, row) => column(0, top(inputs) + row * (ROW + GAP))),
    logPhase: column(1, Math.max(2, middle - 44), Math.min(88, height - 4)),
    plugins: Array.from({ length: plugins }, (_, row) => {
      const y = (rows === plugins ? 2 : top(plugins)) + row * (ROW + GAP);
      return { plugin: column(2, y), queue: column(3, y), sink: column(4, y) };
    }),
  };
}

function vertical(width: number, inputs: number, shown: Step[]): Layout {
  const indent = 18;
  const inner = width - indent - 2;
  let y = 2;
  const next = (height: number, gap: number, x: number, boxWidth: number): Box => {
    const box = { x, y, width: boxWidth, height };
    y += height + gap;
    return box;
  };
  const inputBoxes = Array.from({ length: inputs }, () => next(ROW, 8, 2, width - 4));
  y += 16;
  const logPhase = next(64, 20, 2, width - 4);
  const rows = shown.map((step) => {
    const emits = step.plugin.sink !== null;
    const plugin = next(ROW, emits ? 0 : 16, indent, inner);
    return {
      plugin,
      queue: emits ? next(ROW, 0, indent, inner) : plugin,
      sink: emits ? next(ROW, 16, indent, inner) : plugin,
    };
  });
  return { vertical: true, width, height: y, inputs: inputBoxes, logPhase, plugins: rows };
}

/** A small chart: the path of `values` in a box, and nothing where there is no value. */
export function sparkline(values: (number | null)[], box: Box, points = 60): string {
  const size = Math.max(1, Math.ceil(values.length / points));
  const means: (number | null)[] = [];
  for (let from = 0; from < values.length; from += size) {
    const known = values.slice(from, from + size).filter((value): value is number => value !== null);
    means.push(known.length > 0 ? known.reduce((a, b) => a + b, 0) / known.length : null);
  }
  const top = Math.max(...means.map((value) => value ?? 0), 1e-9);
  const step = box.width / Math.max(1, means.length - 1);
  let path = "";
  let pen = "M";
  means.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(box.x + index * step).toFixed(1)} ${(box.y + box.height * (1 - value / top)).toFixed(1)}`;
    pen = "L";
  });
  return path;
}
