// The client of a featurewatch bridge: one live connection for a page, REST, figures, alerts and lines.

export { Api, ApiError } from "./api.js";
export { AlertList } from "./alert-list.js";
export { LiveClient } from "./client.js";
export { configure, connect } from "./connect.js";
export { FIGURES, asText, figure } from "./format.js";
export { batched, latest, oncePerFrame } from "./frame.js";
export { LogFeed } from "./log-feed.js";
export { LEVELS, NO_FILTERS } from "./log-query.js";
export { watchMetrics } from "./metrics.js";
export { plain } from "./plain-text.js";
