// Types of the custom elements. Importing `featurewatch-kit/widgets` defines them.

import type { Alert, ClientOptions, ConnectionState, Filters, GetToken, Health, LiveClient, LogPlace, MetricsSnapshot } from "./index.js";

export function configure(options: ClientOptions): void;

/** Attributes of all: `base`, `prefix`, `environment`, `theme` (light, dark, auto; left out: as the page's color-scheme). */
export class FeatureElement extends HTMLElement {
  feature: string;
  getToken: GetToken | null;
  /** A connection of the page's own, instead of the shared one. */
  client: LiveClient | null;
}

/** Event `statechange`. */
export class ConnectionStatus extends FeatureElement {}
/** Attributes `feature`, `reasons`; event `healthchange`. */
export class FeatureHealth extends FeatureElement {}
/** Attributes `feature`, `metrics`, `auto-refresh`; event `metrics`. */
export class FeatureMetrics extends FeatureElement {
  refresh(): Promise<void>;
}
/** Attributes `feature`, `actions`; events `alert`, `alertaction`. */
export class FeatureAlerts extends FeatureElement {}
/**
 * Attributes `feature`, `source`, `levels`, `search`, `range`, `live`, `line`, `drawer`, `open`, `button`, `permalink`, `most`;
 * events `logsopen`, `logsclose`, `viewchange`.
 */
export class FeatureLogs extends FeatureElement {
  view: LogPlace;
  features: { id: string; name: string }[];
  permalink: ((place: { featureId: string; line: string }) => string) | null;
  readonly isOpen: boolean;
  open(): void;
  close(): void;
  focusSearch(): void;
}

export interface FeatureEvents {
  statechange: CustomEvent<{ state: ConnectionState; isConnected: boolean }>;
  healthchange: CustomEvent<{ feature: string; from: Health | null; to: Health; reasons: string[] }>;
  metrics: CustomEvent<{ feature: string; snapshot: MetricsSnapshot }>;
  alert: CustomEvent<{ type: string; alert: Alert }>;
  alertaction: CustomEvent<{ action: "acknowledge" | "resolve"; alert: Alert }>;
  logsopen: CustomEvent<null>;
  logsclose: CustomEvent<null>;
  viewchange: CustomEvent<Partial<Filters> & { featureId?: string; environment?: string; line?: string }>;
}

declare global {
  interface HTMLElementTagNameMap {
    "connection-status": ConnectionStatus;
    "feature-alerts": FeatureAlerts;
    "feature-health": FeatureHealth;
    "feature-logs": FeatureLogs;
    "feature-metrics": FeatureMetrics;
  }
}
