// The bridge's REST interface.

import { Token } from "./token.js";

/** An answer that is not a success; `status` 0 where the bridge could not be reached. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string} code */
  constructor(message, status, code) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
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

  /** @param {string} path @param {unknown} body @returns {Promise<any>} */
  post(path, body) {
    return this.send("POST", path, body);
  }

  /** @param {string} path @returns {Promise<any>} */
  delete(path) {
    return this.send("DELETE", path);
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @param {Record<string, string>} [headers] such as If-Match @returns {Promise<any>} */
  send(method, path, body, headers = {}) {
    return this.#json(this.url(path), {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
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
    throw new ApiError(answer?.error ?? `The bridge answered ${response.status}.`, response.status, answer?.code ?? "unknown");
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
