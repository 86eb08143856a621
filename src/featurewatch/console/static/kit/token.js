// The token that the page's owner gives: asked for when needed, kept while it holds, renewed before it ends.

/**
 * @typedef {(why: {refresh: boolean}) => string|null|undefined|Promise<string|null|undefined>} GetToken
 *     gives a token that holds now; `refresh`: the last one was refused or is about to end
 */

/** A token that ends within so many ms is renewed. */
export const RENEW_BEFORE = 60_000;

export class Token {
  /** @param {GetToken|null} [getToken] null where a cookie, or nothing, says who asks */
  constructor(getToken = null) {
    this.getToken = getToken;
    /** @type {Promise<string>|null} */
    this.asked = null;
    /** @type {number} epoch ms when the token that was given last ends, Infinity where it does not say so */
    this.ends = Infinity;
  }

  /** Whether tokens are used at all. */
  get used() {
    return this.getToken !== null;
  }

  /**
   * The token, "" where there is none. One that was refused, or ends soon, is asked for anew, once for all who want it.
   * @param {string|null} [refused] @returns {Promise<string>}
   */
  async value(refused = null) {
    if (this.getToken === null) return "";
    const { asked } = this;
    if (asked === null) {
      this.asked = this.#ask(false);
      return this.asked;
    }
    const held = await asked;
    if (held !== refused && Date.now() < this.ends - RENEW_BEFORE / 2) return held;
    // Whoever finds it stale at the same time shares one question.
    if (this.asked === asked) this.asked = this.#ask(true);
    return this.asked ?? this.value();
  }

  /** Forget the token: the next one is asked for. */
  forget() {
    this.asked = null;
    this.ends = Infinity;
  }

  /** @param {boolean} refresh */
  async #ask(refresh) {
    try {
      const token = (await /** @type {GetToken} */ (this.getToken)({ refresh })) ?? "";
      this.ends = endOf(token);
      return token;
    } catch (error) {
      this.forget();
      throw error;
    }
  }
}

/** Read when a JWT ends (RFC 7519, `exp`). It is not verified: the bridge does that. @param {string} token @returns {number} epoch ms, Infinity where it says nothing */
export function endOf(token) {
  const payload = token.split(".")[1];
  if (payload === undefined) return Infinity;
  try {
    const { exp } = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
    return typeof exp === "number" ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}
