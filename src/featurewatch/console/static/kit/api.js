// The bridge's REST interface.

import { Token } from "./token.js";

/** @typedef {{index?: number, field: string, message: string}} Detail what is wrong with which field */

/** An answer that is not a success; `status` 0 where the bridge could not be reached. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string} code @param {Detail[]} [details] */
  constructor(message, status, code, details = []) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/** @param {Record<string, unknown>} [params] lists are joined by commas; what is empty is left out */
export function queryOf(params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    const text = Array.isArray(value) ? value.join(",") : String(value ?? "");
    if (text !== "") query.set(name, text);
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

export class Api {
  /**
   * @param {object} options
   * @param {string} [options.base] the bridge's origin, "" for the page's own
   * @param {string} [options.prefix]
   * @param {(url: string, init?: RequestInit) => Promise<Response>} [options.fetch]
   * @param {Token} [options.token]
   * @param {() => void} [options.onUnauthenticated] told of every 401 that a new token did not cure
   */
  constructor({ base = "", prefix = "/api/v1", fetch, token = new Token(), onUnauthenticated = () => {} } = {}) {
    this.base = base.replace(/\/+$/, "");
    this.prefix = prefix.replace(/\/+$/, "");
    this.fetch = fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.token = token;
    this.onUnauthenticated = onUnauthenticated;
  }

  /** @param {string} path @param {Record<string, unknown>} [params] */
  url(path, params) {
    return `${this.base}${this.prefix}${path}${queryOf(params)}`;
  }

  /** @param {string} path @param {Record<string, unknown>} [params] @param {AbortSignal} [signal] @returns {Promise<any>} */
  get(path, params, signal) {
    return this.#json(this.url(path, params), { signal });
  }

  /** @param {string} path @param {unknown} body @param {AbortSignal} [signal] @returns {Promise<any>} */
  post(path, body, signal) {
    return this.#write("POST", path, body, undefined, signal);
  }

  /** Put what replaces all. @param {string} path @param {unknown} body @param {number} [revision] refused with 412 where it is no longer this one @returns {Promise<any>} */
  put(path, body, revision) {
    return this.#write("PUT", path, body, revision);
  }

  /** Change what is named. @param {string} path @param {unknown} body @param {number} [revision] @returns {Promise<any>} */
  patch(path, body, revision) {
    return this.#write("PATCH", path, body, revision);
  }

  /** @param {string} path @param {number} [revision] @returns {Promise<any>} */
  delete(path, revision) {
    return this.#write("DELETE", path, undefined, revision);
  }

  /** @param {string} method @param {string} path @param {unknown} body @param {number} [revision] @param {AbortSignal} [signal] */
  #write(method, path, body, revision, signal) {
    /** @type {Record<string, string>} */
    const headers = { "content-type": "application/json" };
    if (revision !== undefined) headers["if-match"] = `"r${revision}"`;
    return this.#json(this.url(path), { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  }

  /**
   * Ask, and hand the answer back unread, for what is long.
   * @param {string} url @param {RequestInit} [init] @returns {Promise<Response>}
   */
  async ask(url, init = {}) {
    let response;
    let token = "";
    try {
      token = await this.token.value();
      response = await this.#fetch(url, init, token);
      if (response.status === 401 && this.token.used) {
        const renewed = await this.token.value(token);
        if (renewed !== token) response = await this.#fetch(url, init, renewed);
      }
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError("The bridge cannot be reached.", 0, "unreachable");
    }
    if (response.ok) return response;
    if (response.status === 401) this.onUnauthenticated();
    const answer = parsed(await response.text());
    throw new ApiError(answer?.error ?? `The bridge answered ${response.status}.`, response.status, answer?.code ?? "unknown", answer?.details ?? []);
  }

  /** @param {string} url @param {RequestInit} init @param {string} token */
  #fetch(url, init, token) {
    const headers = { ...init.headers, ...(token === "" ? {} : { authorization: `Bearer ${token}` }) };
    return this.fetch(url, { credentials: "same-origin", ...init, headers });
  }

  /** @param {string} url @param {RequestInit} init */
  async #json(url, init) {
    const response = await this.ask(url, init);
    try {
      return parsed(await response.text());
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError("The bridge's answer broke off.", 0, "unreachable");
    }
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
