// Types of the React hooks. React is the app's own.

import type { ReactElement, ReactNode } from "react";
import type { Alert, ClientOptions, Figures, Filters, LiveClient, LogGap, LogLine, Message, MessageTypes, MetricsSnapshot } from "./index.js";

/** Say once where the bridge is and who asks. */
export function FeaturewatchProvider(props: ClientOptions & { children?: ReactNode }): ReactElement;
/** The page's connection, null before the first effect. */
export function useFeaturewatch(options?: ClientOptions): LiveClient | null;

export interface Subscribe {
  <Type extends keyof MessageTypes>(type: Type, listener: (value: MessageTypes[Type]) => void): () => void;
  (type: string, listener: (value: Message) => void): () => void;
}

export function useWebSocket(id: string, options?: ClientOptions): {
  isConnected: boolean;
  subscribe: Subscribe;
  /** False where no WebSocket is open: not connected, or by server-sent events. */
  send(message: Record<string, unknown>): boolean;
};

export function useRealTimeMetrics(id: string, autoRefresh?: boolean, options?: ClientOptions): {
  metrics: Figures | null;
  snapshot: MetricsSnapshot | null;
  lastUpdated: Date | null;
  isLoading: boolean;
  isConnected: boolean;
  error: Error | null;
  refreshMetrics(): Promise<void>;
};

export function useServerSentEvents(id: string, enabled?: boolean, options?: ClientOptions): {
  isConnected: boolean;
  /** The last message. */
  data: Message<any> | null;
};

export function useLogs(id: string, options?: Partial<Filters> & ClientOptions & { limit?: number; enabled?: boolean }): {
  lines: LogLine[];
  /** The lines, and the places where some are missing. */
  rows: (LogLine | LogGap)[];
  isLoading: boolean;
  isConnected: boolean;
  error: string;
  hasOlder: boolean;
  loadOlder(): Promise<void>;
};

export function useAlerts(id?: string, options?: ClientOptions): {
  alerts: Alert[];
  isLoading: boolean;
  isConnected: boolean;
  error: Error | null;
  acknowledge(id: string, body?: { comment?: string; expires_minutes?: number }): Promise<Alert>;
  resolve(id: string, body?: { comment?: string }): Promise<Alert>;
  refresh(): Promise<void>;
};

type WidgetAttributes = { [name: string]: unknown; children?: ReactNode };

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "connection-status": WidgetAttributes;
      "feature-alerts": WidgetAttributes;
      "feature-health": WidgetAttributes;
      "feature-logs": WidgetAttributes;
      "feature-metrics": WidgetAttributes;
    }
  }
}
