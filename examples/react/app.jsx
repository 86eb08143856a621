// A feature's page of one's own: figures, open alerts and the log, over one connection.

import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import {
  FeaturewatchProvider, useAlerts, useLogs, useRealTimeMetrics, useServerSentEvents, useWebSocket,
} from "featurewatch-kit/react";
import { asText, figure } from "featurewatch-kit";
import "featurewatch-kit/widgets";

/** Your own way to a token. Leave it out where a cookie says who asks. */
const getToken = window.getToken;
const { base = "", feature = "summarize" } = window.settings ?? {};

function Figures() {
  const { metrics, lastUpdated, isConnected, refreshMetrics } = useRealTimeMetrics(feature);
  return (
    <section>
      <h2>Figures <small>{isConnected ? "live" : "not connected"}</small></h2>
      <p>
        Error rate <b id="error-rate">{asText(figure("error_rate", metrics?.error_rate))}</b>, requests{" "}
        <b id="requests">{asText(figure("total_requests", metrics?.total_requests))}</b>
      </p>
      <p>{lastUpdated === null ? "not measured yet" : `measured at ${lastUpdated.toLocaleTimeString()}`}</p>
      <button type="button" onClick={refreshMetrics}>Refresh</button>
    </section>
  );
}

function Alerts() {
  const { alerts, acknowledge } = useAlerts(feature);
  return (
    <ul id="alerts">
      {alerts.map((alert) => (
        <li key={alert.id}>
          {alert.title} ({alert.status})
          <button type="button" onClick={() => acknowledge(alert.id, { comment: "on it" })}>Acknowledge</button>
        </li>
      ))}
    </ul>
  );
}

function Logs() {
  const [search, setSearch] = useState("");
  const { lines, isLoading } = useLogs(feature, { search, limit: 200 });
  return (
    <section>
      <h2>Log <small id="count">{isLoading ? "…" : lines.length}</small></h2>
      <input aria-label="Search" value={search} onChange={(event) => setSearch(event.target.value)} />
      <ol id="lines">
        {lines.slice(-20).map((line) => <li key={line.id}>{line.level} {line.message}</li>)}
      </ol>
    </section>
  );
}

function LastEvent() {
  const [changes, setChanges] = useState(0);
  const { subscribe, send } = useWebSocket(feature);
  useEffect(() => subscribe("test_result", () => setChanges((before) => before + 1)), [subscribe]);
  const { data, isConnected } = useServerSentEvents(feature);
  return (
    <p>
      <span id="results">{changes}</span> test results; last event by SSE: <span id="event">{isConnected && data?.type}</span>
      <button type="button" onClick={() => send({ type: "ping" })}>Ping</button>
    </p>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <FeaturewatchProvider base={base} getToken={getToken}>
      <Figures />
      <Alerts />
      <LastEvent />
      <Logs />
      <feature-logs feature={feature} base={base} source="billing" drawer="">Billing's log</feature-logs>
    </FeaturewatchProvider>
  </StrictMode>,
);
