// How the kit's types are used: compiled by tests/browser/test_kit_react.py, never run.

import { ApiError, configure, connect, figure, LogFeed, NO_FILTERS, type Alert, type LiveClient, type MetricsSnapshot } from "featurewatch-kit";
import { FeaturewatchProvider, useAlerts, useFeaturewatch, useLogs, useRealTimeMetrics, useServerSentEvents, useWebSocket } from "featurewatch-kit/react";
import type { FeatureEvents } from "featurewatch-kit/widgets";
import "featurewatch-kit/widgets";

configure({ base: "https://watch.example", prefix: "/api/v1", getToken: async ({ refresh }) => (refresh ? "new" : "old") });
const { client, release }: { client: LiveClient; release(): void } = connect({ environment: "staging" });
const end: () => void = client.subscribe("metrics_update", ({ data }) => {
  const snapshot: MetricsSnapshot = data;
  const rate: number | null = snapshot.metrics.error_rate;
  figure("error_rate", rate).value.toUpperCase();
});
client.subscribe("state", (state) => {
  const live: boolean = state === "live" || state === "live-sse";
  return live;
});
client.subscribe("something_new", (message) => String(message.data));
// @ts-expect-error a state that there is not
client.subscribe("state", (state) => state === "online");
// @ts-expect-error a severity that there is not
const severity: Alert["severity"] = "urgent";
new LogFeed({ client, changed: () => {} }).show({ featureId: "chat", environment: "", filters: { ...NO_FILTERS }, line: "" });
client.api.get("/features").catch((error: unknown) => error instanceof ApiError && error.status === 0);

document.querySelector("feature-logs")?.open();
document.querySelector("feature-health")?.addEventListener("healthchange", (event) => {
  const { detail } = event as FeatureEvents["healthchange"];
  return detail.to === "healthy";
});

export function Page() {
  const own = useFeaturewatch();
  const { metrics, lastUpdated, isLoading, isConnected, refreshMetrics } = useRealTimeMetrics("chat", true);
  const { isConnected: socket, subscribe, send } = useWebSocket("chat");
  const { data } = useServerSentEvents("chat", socket);
  const { lines } = useLogs("chat", { levels: ["error"], limit: 100 });
  const { alerts, acknowledge } = useAlerts();
  const said: boolean = send({ type: "ping" });
  subscribe("log_entry", ({ data: line }) => line.message.length);
  const day: number | undefined = lastUpdated?.getDate();
  const rate: number | null | undefined = metrics?.error_rate;
  return (
    <FeaturewatchProvider base="https://watch.example">
      <feature-logs feature="chat" drawer="" />
      <button onClick={() => void refreshMetrics()}>{String([own, isLoading, isConnected, said, day, rate, data?.type, lines[0]?.level])}</button>
      <button onClick={() => void acknowledge(alerts[0].id, { comment: "on it" })}>Acknowledge</button>
    </FeaturewatchProvider>
  );
}

end();
release();
void severity;
