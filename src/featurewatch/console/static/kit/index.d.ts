// Types of the kit's client. What they describe is JavaScript as it stands beside them.

export type ConnectionState =
  | "idle" | "connecting" | "live" | "live-sse" | "reconnecting" | "disconnected" | "signed-out" | "paused";
export type Health = "healthy" | "warning" | "error" | "unknown";
export type Level = "debug" | "info" | "warn" | "error" | "fatal";
export type Severity = "low" | "medium" | "high" | "critical";

/** Gives a token that holds now; `refresh`: the last one was refused or is about to end. */
export type GetToken = (why: { refresh: boolean }) => string | null | undefined | Promise<string | null | undefined>;

export interface ClientOptions {
  /** The bridge's origin, such as `https://watch.example`; left out: the page's own. */
  base?: string;
  /** Where the API lives; left out: `/api/v1`. */
  prefix?: string;
  /** Where no cookie says who asks. */
  getToken?: GetToken | null;
  /** Left out: each feature's own choice. */
  environment?: string;
  /** Milliseconds after which a hidden page lets its connection go (300,000), 0 for never. It resumes when it is seen. */
  hiddenAfter?: number;
  /** Milliseconds after which a WebSocket is tried beside server-sent events (60,000), each time twice as long. */
  retryWebSocket?: number;
}

/** percent, milliseconds, US dollars; null: cannot be known. */
export interface Figures {
  uptime: number | null;
  error_rate: number | null;
  success_rate: number | null;
  response_time: number | null;
  response_time_p50: number | null;
  response_time_p95: number | null;
  response_time_p99: number | null;
  time_to_first_token_p95: number | null;
  total_requests: number | null;
  requests_per_minute: number | null;
  cost_per_request: number | null;
  total_cost: number | null;
  tokens_per_request: number | null;
  [name: string]: number | null;
}

export interface MetricsSnapshot {
  featureId: string;
  environment: string;
  timestamp: string;
  metrics: Figures;
  statuses?: Record<string, "good" | "warning" | "error">;
  health_status: Health;
  reasons?: string[];
  alerts?: { type: string; message: string; severity: Severity; timestamp: string }[];
  /** The store could not be reached: these are the last known figures. */
  stale: boolean;
}

export interface LogLine {
  id: string;
  featureId?: string;
  timestamp: string;
  level: Level;
  message: string;
  source?: string;
  environment?: string;
  trace_id?: string;
  user_id?: string;
  metadata?: Record<string, unknown>;
  /** It arrived after lines that are newer. */
  late?: boolean;
}

/** A place where lines are missing. */
export interface LogGap {
  id: string;
  gap: string;
  from?: string;
  to?: string;
}

export interface Alert {
  id: string;
  ruleId?: string;
  featureId: string;
  title: string;
  message: string;
  severity: Severity;
  status: "active" | "acknowledged" | "resolved";
  triggered_at: string;
  acknowledged_at?: string;
  acknowledged_by?: string;
  resolved_at?: string;
  resolved_by?: string;
  resolve_reason?: string;
  environment?: string;
  condition_active?: boolean;
  metadata?: Record<string, unknown>;
}

export interface Message<Data = unknown> {
  type: string;
  featureId?: string;
  data: Data;
  timestamp: string;
  /** A position, from which a stream resumes. */
  id?: string;
}

export interface MessageTypes {
  metrics_update: Message<MetricsSnapshot>;
  log_entry: Message<LogLine>;
  log_history: Message<LogLine[]>;
  status_change: Message<{ from: Health | null; to: Health; reasons: string[] }>;
  test_result: Message<Record<string, unknown>>;
  alert_triggered: Message<Alert>;
  alert_updated: Message<Alert>;
  alert_resolved: Message<Alert>;
  gap: Message<{ reason: string; count: number | null; from: string; to: string }>;
  error: Message<{ code: string; message: string }>;
  /** The connection's state, not a message. */
  state: ConnectionState;
  "*": Message;
}

export interface LineFilters {
  levels?: readonly string[];
  source?: string;
  /** In message, source or metadata, in any case. */
  search?: string;
}

export interface LogMember {
  featureId: string;
  environment: string;
  filters: LineFilters;
  hear(event: { lines?: LogLine[]; history?: boolean; opened?: boolean; gap?: Record<string, unknown> }): void;
}

export interface Following {
  readonly position: string;
  change(filters: LineFilters): void;
  /** Returns the position to resume from. */
  close(): string;
}

/** An answer that is not a success; `status` 0 where the bridge could not be reached. */
export class ApiError extends Error {
  status: number;
  code: string;
  details: { index?: number; field: string; message: string }[];
}

export class Api {
  base: string;
  prefix: string;
  url(path: string, params?: Record<string, unknown>): string;
  get<Answer = any>(path: string, params?: Record<string, unknown>, signal?: AbortSignal): Promise<Answer>;
  post<Answer = any>(path: string, body: unknown, signal?: AbortSignal): Promise<Answer>;
  /** `revision`: refused with 412 where it is no longer this one. */
  put<Answer = any>(path: string, body: unknown, revision?: number): Promise<Answer>;
  patch<Answer = any>(path: string, body: unknown, revision?: number): Promise<Answer>;
  delete<Answer = any>(path: string, revision?: number): Promise<Answer>;
}

export class LiveClient {
  constructor(options?: ClientOptions);
  readonly api: Api;
  readonly state: ConnectionState;
  readonly isConnected: boolean;
  readonly environment: string;
  /** The last snapshot of each feature that is followed. */
  readonly snapshots: ReadonlyMap<string, MetricsSnapshot>;
  /** When it is tried again, epoch milliseconds; 0: nothing is due. */
  readonly nextTry: number;
  subscribe<Type extends keyof MessageTypes>(type: Type, listener: (value: MessageTypes[Type]) => void): () => void;
  subscribe(type: string, listener: (value: Message) => void): () => void;
  /** Watch a feature's figures and events, `*` for all. */
  follow(featureId: string): () => void;
  followLogs(member: LogMember, after?: string): Following;
  start(environment?: string): void;
  stop(): void;
  /** Try at once. */
  retry(): void;
  /** False where no WebSocket is open. */
  send(message: Record<string, unknown>): boolean;
}

export interface Connection {
  client: LiveClient;
  release(): void;
}

/** Say once for all parts of the page where the bridge is and who asks. */
export function configure(options: ClientOptions): void;
/** The page's connection, opened by the first part that asks; `release` it when the part goes. */
export function connect(options?: ClientOptions): Connection;

export interface MetricsState {
  snapshot: MetricsSnapshot | null;
  at: Date | null;
  isLoading: boolean;
  error: Error | null;
}

export function watchMetrics(
  client: LiveClient, featureId: string, changed: (state: MetricsState) => void, options?: { live?: boolean },
): { refresh(): Promise<void>; end(): void };

export class AlertList {
  constructor(parts: {
    client: LiveClient; featureId?: string; changed: () => void; happened?: (type: string, alert: Alert) => void;
  });
  /** The worst first, of those the newest. */
  readonly alerts: Alert[];
  readonly isLoading: boolean;
  readonly error: Error | null;
  refresh(): Promise<void>;
  acknowledge(id: string, body?: { comment?: string; expires_minutes?: number }): Promise<Alert>;
  resolve(id: string, body?: { comment?: string }): Promise<Alert>;
  end(): void;
}

export interface Filters {
  levels: string[];
  source: string;
  search: string;
  /** `""` for all time, `15m`, `1h`, `6h`, `24h`, `7d` or `custom`. */
  range: string;
  from: string;
  to: string;
  live: boolean;
}

export interface LogPlace {
  featureId: string;
  environment: string;
  filters: Filters;
  /** The line around which is shown, `""` for the newest. */
  line: string;
}

export class LogFeed {
  constructor(parts: { client: LiveClient; changed: (change: { kind: "reset" | "rows" | "status" }) => void; most?: number });
  readonly rows: (LogLine | LogGap)[];
  readonly loading: boolean;
  readonly failure: string;
  show(view: LogPlace): void;
  pause(): void;
  close(): void;
  loadOlder(): Promise<void>;
  loadNewer(): Promise<void>;
}

export const LEVELS: readonly Level[];
export const NO_FILTERS: Readonly<Filters>;
export const FIGURES: Record<string, { label: string; short: string; unit: string; help: string }>;
/** Show a figure by its name: `figure("error_rate", 0.4)`. */
export function figure(name: string, value: number | null | undefined): { value: string; unit: string };
export function asText(shown: { value: string; unit: string }): string;
/** Other people's text without colours, with what would hide or reorder it made visible. */
export function plain(text: string): string;
/** Run once before the next frame, however often it is asked for. */
export function oncePerFrame(run: () => void): () => void;
/** Keep the newest value of each key until the next frame. */
export function latest<Value>(draw: (values: Map<string, Value>) => void): (key: string, value: Value) => void;
/** Gather every value until the next frame. */
export function batched<Value>(draw: (values: Value[]) => void): (...values: Value[]) => void;
