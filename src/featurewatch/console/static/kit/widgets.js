// The custom elements. Importing this defines them; where there is no browser it does nothing.

import { ConnectionStatus } from "./connection-status.js";
import { FeatureAlerts } from "./feature-alerts.js";
import { FeatureHealth } from "./feature-health.js";
import { FeatureLogs } from "./feature-logs.js";
import { FeatureMetrics } from "./feature-metrics.js";

export { configure } from "./connect.js";
export { ConnectionStatus, FeatureAlerts, FeatureHealth, FeatureLogs, FeatureMetrics };

const ELEMENTS = {
  "connection-status": ConnectionStatus,
  "feature-alerts": FeatureAlerts,
  "feature-health": FeatureHealth,
  "feature-logs": FeatureLogs,
  "feature-metrics": FeatureMetrics,
};

if (globalThis.customElements) {
  for (const [name, element] of Object.entries(ELEMENTS)) if (!customElements.get(name)) customElements.define(name, element);
}
