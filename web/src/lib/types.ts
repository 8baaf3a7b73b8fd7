// What the service answers on /api/. Times are milliseconds since 1970.

export type Role = "full" | "read-only" | "anyone";

export interface Session {
  login: "needed" | "done" | "none";
  role: Role | null;
  version: string;
  node: string;
  /** Whether entities can be written one by one, only as a whole, or not at all. */
  configuration: "database" | "memory" | "files";
}

export interface Input {
  name: string;
  kind: string;
  received_rate: number;
  rejected_rate: number;
  lost_rate: number;
  bytes_rate?: number;
  connections?: number;
}

export interface FlowPlugin {
  id: string;
  name: string;
  instance_name: string | null;
  scope: string;
  priority: number;
  order: number;
  /** Null: it emits nothing, as a pre-function. */
  sink: { kind: string; target: string } | null;
  /** The id of the plugin in whose queue its messages are: its own, or one whose queue it shares. */
  queue?: string | null;
  /** Null: it has no queue of its own. */
  rates: Rates | null;
}

export interface Rates {
  delivered: number;
  enqueued: number;
  dropped: number;
  retried: number;
  failed: number;
}

export interface Flow {
  inputs: Input[];
  plugins: FlowPlugin[];
  log_phase: { transactions_rate: number; cpu_seconds_rate: number; memory_bytes: number };
}

export interface Problem {
  severity: "error" | "warning";
  title: string;
  where: { plugin?: string; input?: string } | null;
  text: string;
  help: string;
  alert: string;
  /** When it was first seen. */
  since?: number;
}

/** The queue of a plugin in `GET /status`. */
export interface QueueStatus {
  enqueued: number;
  delivered: number;
  waiting: number;
  unconfirmed: number;
  dropped: Record<string, number>;
  refused: number;
  dead_lettered: number;
  dead_letters: number;
  dead_letter_bytes: number;
  bytes: number;
  max_bytes: number;
  on_disk: boolean;
  writable: boolean;
  readable: boolean;
  oldest_seconds: number | null;
  failing: boolean;
  failures: number;
  retried: number;
  last_error: { message: string; at: number } | null;
}

export interface SnippetStatus {
  field: string;
  errors: number;
  stopped: Record<string, number>;
  mean_seconds: number | null;
  suspended_for_seconds: number | null;
}

export interface PluginStatus {
  id: string;
  name: string;
  instance_name: string | null;
  scope: string;
  snippets: SnippetStatus[];
  queue: QueueStatus | null;
}

export interface InputStatus {
  received: number;
  rejected: Record<string, number>;
  lost: number;
  skipped: number;
  bytes: number;
  connections: number;
}

export interface Status {
  version: string;
  started_at: number;
  stage: string;
  inputs: Record<string, InputStatus>;
  transactions?: number;
  plugins?: PluginStatus[];
  reloads: { applied: number; refused: number; last_at: number | null; last_error: string | null };
  configuration_hash?: string;
}

export interface Now {
  at: number;
  status: Status;
  flow: Flow;
  problems: Problem[];
}

export interface History {
  step_seconds: number;
  from: number;
  series: { key: string; values: (number | null)[] }[];
  left_out?: number;
}

/** Which snippet, by its field, or which rule of redaction changed which member. */
export interface Change {
  by: string;
  /** Of a redaction: `header authorization`. */
  rule?: string;
  plugin: string;
  path: string;
  mode: string;
}

export interface TapLine {
  plugin: string;
  id: string;
  instance_name: string | null;
  at: number;
  before?: unknown;
  after?: unknown;
  not_sent?: string;
  failed?: string[];
  changes?: Change[];
}

export interface Place {
  line: number;
  column: number;
  offset: number;
}

export interface Diagnostic {
  severity: "error" | "warning" | "note";
  code: string;
  message: string;
  source: "configuration" | "settings" | "transaction";
  start: Place | null;
  end: Place | null;
  label?: string | null;
  help?: string | null;
}

export interface PlayedPlugin {
  name: string;
  id: string;
  instance_name: string | null;
  before: unknown;
  after: unknown;
  not_sent: string | null;
  sent: string[] | null;
  /** `line` is the one in the configuration. */
  errors: { field: string; message: string; line: number | null }[];
  changes: Change[];
  micros: number;
}

export interface Played {
  diagnostics: Diagnostic[];
  transactions: {
    route: string | null;
    plugins: PlayedPlugin[];
    skipped_plugins?: { name: string; id: string; instance_name?: string | null; why: string }[];
  }[];
  log: string[];
  stopped: null | "time" | "memory" | "output" | "transactions";
}

export interface PlaygroundStart {
  configuration: string;
  transactions: { label: string; text: string }[];
  examples: { name: string; configuration: string; transaction: string; settings?: string | null }[];
}

/** A name that snippets may use. */
export interface LuaName {
  name: string;
  kind: "function" | "value" | "table";
  signature: string | null;
  doc: string | null;
  profile?: string | null;
  phase_note?: string | null;
  /** The module that `require` gets it from. */
  module?: string | null;
}

export interface QueueInfo {
  name: string;
  plugin: string;
  id: string | null;
  instance_name: string | null;
  state: "delivering" | "failing" | "retiring" | "orphaned" | "stopped" | "dead_letters";
  on_disk: boolean;
  messages: number;
  unconfirmed: number;
  bytes: number;
  oldest_seconds: number | null;
  last_error: string | null;
  set_aside: { files: number; bytes: number };
}

export interface QueuedMessage {
  id: number;
  time?: number;
  reason?: string;
  message?: unknown;
  text?: string;
  base64?: string;
}

export interface Moved {
  messages: number;
  left: number;
}

export type Entity = Record<string, unknown> & { id: string };

/** An error in Kong's form: `fields` nests as the entity does. */
export interface KongError {
  code?: number;
  name?: string;
  message: string;
  fields?: Record<string, unknown>;
}

export interface Plan {
  difference: { kind: string; id: string; path: string; before: unknown; after: unknown }[];
  /** With those that are left out. */
  difference_total?: number;
  entities?: { change: "create" | "update" | "delete"; kind: string; id: string; name: string | null }[];
  routes: { id: string; name: string | null }[];
  routes_total?: number;
  plugins_before: number;
  plugins_after: number;
  error: KongError | null;
}
