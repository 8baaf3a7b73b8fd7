// Messages as they are sent: a bounded list of the newest, drawn once per frame.
import { ApiError, request, textOf } from "./api";
import { at, parse, text, type Json } from "./json";

export interface Filter {
  plugin: string;
  status: string;
  route: string;
  consumer: string;
  text: string;
  /** KEY=VALUE. */
  where: string;
  /** Messages per second. */
  rate: string;
}

/** What a row of the list shows. */
export interface Summary {
  at: number;
  plugin: string;
  method: string;
  uri: string;
  status: string;
  route: string;
  consumer: string;
  latency: string;
  note: string;
}

/** A message stays text until a row shows it: most go by without. */
export class Tapped {
  private known: Summary | null = null;

  constructor(
    readonly key: number,
    readonly line: string,
  ) {}

  get summary(): Summary {
    this.known ??= summarize(JSON.parse(this.line) as Json);
    return this.known;
  }
}

export const MOST_MESSAGES = 500;
const MOST_CHARACTERS = 16 * 1024 * 1024;

export function query(filter: Filter): string {
  const parameters = new URLSearchParams({ sides: "both", rate: filter.rate });
  if (filter.plugin) parameters.set("plugin", filter.plugin);
  if (filter.text) parameters.set("text", filter.text);
  if (filter.status) parameters.append("where", `response.status=${filter.status}`);
  if (filter.route) parameters.append("where", `route.name=${filter.route}`);
  if (filter.consumer) parameters.append("where", `consumer.username=${filter.consumer}`);
  if (filter.where) parameters.append("where", filter.where);
  return parameters.toString();
}

export class Tap {
  /** The newest first. */
  messages = $state.raw<Tapped[]>([]);
  state = $state<"stopped" | "connecting" | "running">("stopped");
  error = $state<string | null>(null);
  /** Messages that the service left out because of the rate. */
  skipped = $state(0);

  private pending: Tapped[] = [];
  private pendingSkipped = 0;
  private frame = 0;
  private next = 0;
  private cancel: AbortController | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;

  start(filter: Filter): void {
    this.stop();
    const cancel = new AbortController();
    this.cancel = cancel;
    this.state = "connecting";
    this.error = null;
    void this.run(query(filter), cancel.signal)
      .catch((error: unknown) => {
        if (cancel.signal.aborted) return;
        this.error = textOf(error);
        // A filter that the service refuses stays refused.
        if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) return;
        this.retry = setTimeout(() => this.start(filter), 2000);
      })
      .finally(() => {
        if (this.cancel === cancel) this.state = "stopped";
      });
  }

  stop(): void {
    clearTimeout(this.retry);
    this.cancel?.abort();
    this.cancel = null;
    this.state = "stopped";
  }

  clear(): void {
    this.messages = [];
    this.pending = [];
    this.skipped = 0;
    this.pendingSkipped = 0;
  }

  private async run(parameters: string, signal: AbortSignal): Promise<void> {
    const response = await request("GET", `/tap?${parameters}`, undefined, signal);
    if (!response.body) throw new Error("the browser cannot read streams");
    this.state = "running";
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the service has closed the stream");
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") this.take(line);
    }
  }

  private take(line: string): void {
    if (line.startsWith('{"skipped":')) this.pendingSkipped += Number(text(at(parse(line), "skipped")));
    else this.pending.push(new Tapped(this.next++, line));
    // A hidden page draws no frames.
    if (this.pending.length > MOST_MESSAGES) this.pending.shift();
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = 0;
    const all = [...this.pending.reverse(), ...this.messages].slice(0, MOST_MESSAGES);
    this.pending = [];
    let size = 0;
    const end = all.findIndex((message) => (size += message.line.length) > MOST_CHARACTERS);
    this.messages = end < 0 ? all : all.slice(0, Math.max(1, end));
    this.skipped += this.pendingSkipped;
    this.pendingSkipped = 0;
  }
}

function summarize(entry: Json): Summary {
  const after = at(entry, "after");
  const message = after === undefined ? at(entry, "before") : after;
  const instance = text(at(entry, "instance_name"));
  const failed = at(entry, "failed");
  const notSent = text(at(entry, "not_sent"));
  const latency = text(at(message, "latencies", "request"));
  return {
    at: Number(text(at(entry, "at"))),
    plugin: instance || text(at(entry, "plugin")),
    method: text(at(message, "request", "method")),
    uri: text(at(message, "request", "uri")) || (typeof message === "string" ? message : ""),
    status: text(at(message, "response", "status")),
    route: text(at(message, "route", "name")),
    consumer: text(at(message, "consumer", "username")),
    latency: latency ? `${latency} ms` : "",
    note: notSent ? "not sent" : Array.isArray(failed) && failed.length > 0 ? "Lua failed" : "",
  };
}
