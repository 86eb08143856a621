"use client";
// React hooks over the page's one connection. React is the app's own; nothing happens before an effect runs.

import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { AlertList } from "./alert-list.js";
import { connect, differing, settled } from "./connect.js";
import { shareEvents } from "./shared-events.js";
import { LogFeed } from "./log-feed.js";
import { NO_FILTERS } from "./log-query.js";
import { watchMetrics } from "./metrics.js";

/** @typedef {import("./client.js").ClientOptions} ClientOptions */

const Options = createContext(/** @type {ClientOptions} */ ({}));

/** Say once where the bridge is and who asks. @param {ClientOptions & {children?: any}} props */
export function FeaturewatchProvider({ children, ...options }) {
  return createElement(Options.Provider, { value: options }, children);
}

/**
 * The page's connection, null before the first effect.
 * @param {ClientOptions} [options] @returns {import("./client.js").LiveClient|null}
 */
export function useFeaturewatch(options) {
  const inherited = useContext(Options);
  const all = differing(inherited, options);
  const held = useRef(all);
  useEffect(() => {
    held.current = all;
  });
  const { base, prefix, environment } = settled(all);
  const [client, setClient] = useState(/** @type {import("./client.js").LiveClient|null} */ (null));
  useEffect(() => {
    // A page gives a new function at each render: the newest is asked.
    const getToken = held.current.getToken ? (/** @type {{refresh: boolean}} */ why) => held.current.getToken?.(why) : null;
    const connection = connect({ ...held.current, base, prefix, environment, getToken });
    setClient(connection.client);
    return connection.release;
  }, [base, prefix, environment]);
  return client;
}

/** Whether what is shown is live. @param {import("./client.js").LiveClient|null} client */
function useIsConnected(client) {
  const [isConnected, setIsConnected] = useState(false);
  useEffect(() => {
    if (client === null) return undefined;
    const show = () => setIsConnected(client.isConnected);
    show();
    return client.subscribe("state", show);
  }, [client]);
  return isConnected;
}

/**
 * A feature's messages, and a way to say something. Where WebSocket is blocked, server-sent events bring the messages and `send` gives false.
 * @param {string} id the feature, "*" for all @param {ClientOptions} [options]
 */
export function useWebSocket(id, options) {
  const client = useFeaturewatch(options);
  const isConnected = useIsConnected(client);
  useEffect(() => (client === null || !id ? undefined : client.follow(id)), [client, id]);
  const subscribe = useCallback(
    (/** @type {string} */ type, /** @type {(message: any) => void} */ listener) =>
      client === null
        ? () => {}
        : client.subscribe(type, (message) => {
            if (type === "state" || id === "*" || message.featureId === undefined || message.featureId === id) listener(message);
          }),
    [client, id],
  );
  const send = useCallback(
    (/** @type {Record<string, unknown>} */ message) => client?.send(id === "*" ? message : { featureId: id, ...message }) ?? false,
    [client, id],
  );
  return { isConnected, subscribe, send };
}

/**
 * A feature's figures, the newest a frame.
 * @param {string} id @param {boolean} [autoRefresh] false: asked for once, and by `refreshMetrics` @param {ClientOptions} [options]
 */
export function useRealTimeMetrics(id, autoRefresh = true, options = undefined) {
  const client = useFeaturewatch(options);
  const isConnected = useIsConnected(client);
  const [state, setState] = useState(/** @type {import("./metrics.js").MetricsState} */ ({ snapshot: null, at: null, isLoading: true, error: null }));
  const watch = useRef(/** @type {{refresh: () => Promise<void>}|null} */ (null));
  useEffect(() => {
    if (client === null || !id) return undefined;
    const watching = watchMetrics(client, id, setState, { live: autoRefresh });
    watch.current = watching;
    return () => {
      watch.current = null;
      watching.end();
      setState({ snapshot: null, at: null, isLoading: true, error: null });
    };
  }, [client, id, autoRefresh]);
  const refreshMetrics = useCallback(async () => watch.current?.refresh(), []);
  const { snapshot, at, isLoading, error } = state;
  return { metrics: snapshot?.metrics ?? null, snapshot, lastUpdated: at, isLoading, isConnected, error, refreshMetrics };
}

/**
 * The last message of a feature's event stream.
 * @param {string} id @param {boolean} [enabled] @param {ClientOptions} [options]
 */
export function useServerSentEvents(id, enabled = true, options = undefined) {
  const client = useFeaturewatch(options);
  const [isConnected, setIsConnected] = useState(false);
  const [data, setData] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (client === null || !enabled || !id) return undefined;
    const end = shareEvents(client, id, { hear: setData, changed: setIsConnected });
    return () => {
      end();
      setIsConnected(false);
    };
  }, [client, id, enabled]);
  useEffect(() => () => setData(null), [client, id]);
  return { isConnected, data };
}

const NO_LINES = { rows: /** @type {import("./log-buffer.js").Row[]} */ ([]), isLoading: true, error: "", hasOlder: false };

/**
 * A feature's lines: the newest, then each as it comes, joined by frame.
 * @param {string} id
 * @param {Partial<import("./log-query.js").Filters> & ClientOptions & {limit?: number, enabled?: boolean}} [options] limit: lines held
 */
export function useLogs(id, options = {}) {
  const { levels = [], source = "", search = "", range = "", from = "", to = "", live = true, limit = 1_000, enabled = true, ...others } = options;
  const client = useFeaturewatch(others);
  const isConnected = useIsConnected(client);
  const environment = others.environment ?? "";
  const key = JSON.stringify({ ...NO_FILTERS, levels, source, search, range, from, to, live });
  const feed = useRef(/** @type {LogFeed|null} */ (null));
  const [state, setState] = useState(NO_LINES);
  useEffect(() => {
    if (client === null || !enabled || !id) return undefined;
    const show = () => setState({ rows: made.rows.slice(), isLoading: made.loading, error: made.failure || made.trouble, hasOlder: made.older !== null });
    const made = new LogFeed({ client, most: limit, changed: show });
    feed.current = made;
    made.show({ featureId: id, environment, filters: JSON.parse(key), line: "" });
    return () => {
      feed.current = null;
      made.close();
    };
  }, [client, id, environment, key, limit, enabled]);
  useEffect(() => () => setState(NO_LINES), [client, id]);
  const loadOlder = useCallback(async () => feed.current?.loadOlder(), []);
  const lines = useMemo(() => state.rows.filter((row) => !("gap" in row)), [state.rows]);
  return { lines, ...state, isConnected, loadOlder };
}

/**
 * The open alerts of a feature, or of all.
 * @param {string} [id] @param {ClientOptions} [options]
 */
export function useAlerts(id = "", options = undefined) {
  const client = useFeaturewatch(options);
  const isConnected = useIsConnected(client);
  const list = useRef(/** @type {AlertList|null} */ (null));
  const [state, setState] = useState({ alerts: /** @type {import("./alert-list.js").Alert[]} */ ([]), isLoading: true, error: /** @type {Error|null} */ (null) });
  useEffect(() => {
    if (client === null) return undefined;
    const made = new AlertList({ client, featureId: id, changed: () => setState({ alerts: made.alerts, isLoading: made.isLoading, error: made.error }) });
    list.current = made;
    return () => {
      list.current = null;
      made.end();
      setState({ alerts: [], isLoading: true, error: null });
    };
  }, [client, id]);
  const acknowledge = useCallback((/** @type {string} */ alert, /** @type {any} */ body) => acting(list.current).acknowledge(alert, body), []);
  const resolve = useCallback((/** @type {string} */ alert, /** @type {any} */ body) => acting(list.current).resolve(alert, body), []);
  const refresh = useCallback(async () => list.current?.refresh(), []);
  return { ...state, isConnected, acknowledge, resolve, refresh };
}

/** @param {AlertList|null} list */
function acting(list) {
  if (list === null) throw new Error("useAlerts: expected a call from an effect or an event, got one before the first effect");
  return list;
}
