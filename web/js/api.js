/** The REST side of the server: JSON in, JSON out, errors as exceptions with words for people. */

/** An answer with a status of 400 or more, or none at all. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when the server could not be reached
   * @param {{ code: string, message: string, field: string | null }} error
   * @param {Record<string, unknown> | null} [details]
   */
  constructor(status, error, details = null) {
    super(error.message);
    this.name = "ApiError";
    this.status = status;
    this.code = error.code;
    this.field = error.field;
    this.details = details;
  }
}

const KEY = "token";
const SILENT_MS = 30_000; // without an answer: the connection that the browser kept may be dead
const LOST = new Error("the network went");
const unreachable = () => new ApiError(0, { code: "unreachable", message: "The server cannot be reached. Is it running?", field: null });

/** Take the token out of the URL's fragment, so that it is in no link anybody copies, and keep it for this tab. */
export function takeToken() {
  const match = location.hash.match(/[#&?]token=([^&]+)/);
  if (!match) return;
  keepToken(decodeURIComponent(match[1]));
  const rest = location.hash.replace(/[&?]?token=[^&]+&?/, "");
  history.replaceState(null, "", rest === "#" || rest === "" ? location.pathname + location.search : rest);
}

/** @param {string} token */
export function keepToken(token) {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    memory = token;
  }
}

/** @type {string | null} where the browser stores nothing */
let memory = null;

/** @returns {string | null} */
export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? memory;
  } catch {
    return memory;
  }
}

export class Api {
  /** @param {{ base?: URL, onUnauthorized?: () => void }} [options] */
  constructor({ base = new URL("..", document.baseURI), onUnauthorized = () => {} } = {}) {
    this.base = base;
    this.onUnauthorized = onUnauthorized;
    /** @type {Set<AbortController>} of `read`s that wait for their answer */
    this.waiting = new Set();
  }

  /**
   * The network lost what was asked: who waits is told so. A browser has room for six requests to a server at a time,
   * and lost ones would fill it for minutes after the network is back.
   */
  giveUp() {
    for (const one of this.waiting) one.abort(LOST);
    this.waiting.clear();
  }

  /** @param {string} path e.g. `api/status`; without a leading slash, as a proxy may add a prefix */
  url(path) {
    return new URL(path.replace(/^\//, ""), this.base);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ json?: unknown, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal }} [options]
   * @returns {Promise<Response>} with a status below 400
   * @throws {ApiError}
   */
  async request(method, path, { json, body, headers = {}, signal } = {}) {
    const secret = token();
    if (secret) headers = { ...headers, authorization: `Bearer ${secret}` };
    if (json !== undefined) {
      body = JSON.stringify(json);
      headers = { ...headers, "content-type": "application/json" };
    }
    let response;
    try {
      response = await fetch(this.url(path), { method, body, headers, signal });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw unreachable();
    }
    if (response.ok) return response;
    if (response.status === 401) this.onUnauthorized();
    const answer = await response.json().catch(() => null);
    const fallback = { code: "error", message: `The server answered ${response.status}.`, field: null };
    throw new ApiError(response.status, answer?.error ?? fallback, answer?.details ?? null);
  }

  /** @param {string} path @returns {Promise<any>} */
  get(path) {
    return this.read(path, (response) => (response.status === 204 ? null : response.json()));
  }

  /** @param {string} path @returns {Promise<string>} */
  text(path) {
    return this.read(path, (response) => response.text());
  }

  /**
   * @template T
   * @param {string} path
   * @param {(response: Response) => T | Promise<T>} take what is in the answer
   */
  async read(path, take) {
    const control = new AbortController();
    this.waiting.add(control);
    const timer = setTimeout(() => control.abort(LOST), SILENT_MS);
    try {
      const response = await this.request("GET", path, { signal: control.signal });
      clearTimeout(timer);
      return await take(response);
    } catch (error) {
      throw error === LOST ? unreachable() : error;
    } finally {
      clearTimeout(timer);
      this.waiting.delete(control);
    }
  }

  /** @param {string} path @param {unknown} [json] @returns {Promise<any>} */
  async post(path, json) {
    const response = await this.request("POST", path, { json });
    return response.status === 204 ? null : response.json();
  }

  /** @param {string} path @param {unknown} json @returns {Promise<any>} */
  async patch(path, json) {
    return (await this.request("PATCH", path, { json })).json();
  }

  /** @param {string} path @returns {Promise<any>} */
  async delete(path) {
    const response = await this.request("DELETE", path);
    return response.status === 204 ? null : response.json();
  }

  /**
   * Save what a path answers as a file; a plain link could not carry the token.
   * @param {string} path
   * @param {string} name of the file
   */
  async download(path, name) {
    const response = await this.request("GET", path);
    saveBlob(await response.blob(), name);
  }
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
