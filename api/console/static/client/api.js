// Requests to the API: problems as errors, a limit on each wait, and the text of the response for exact numbers.
import { learn } from "./clock.js";
import { connection, lost, root, seen } from "./connection.js";
import { createStore } from "./store.js";

const TIMEOUT_MS = 15_000;
const GATEWAY = new Set([502, 504]);

/** @typedef {{ field: string, reason: string }} FieldError */
/**
 * @typedef {Object} Options
 * @property {Record<string, string | number | boolean | string[] | null | undefined>} [query]
 * @property {unknown} [body] sent as JSON
 * @property {string} [text] sent as it is, as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */
/**
 * @template T
 * @typedef {{ data: T, text: string, status: number, headers: Headers }} Answer
 */

/** An answer of the API that is a problem (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} body
   * @param {Headers} headers
   */
  constructor(status, body, headers) {
    super(typeof body.detail === "string" ? body.detail : `The API answered ${status}.`);
    this.status = status;
    this.title = typeof body.title === "string" ? body.title : "The request failed";
    this.kind = typeof body.type === "string" ? body.type.replace("urn:jobproc:problem:", "") : "";
    this.body = body;
    /** @type {FieldError[]} */
    this.fields = Array.isArray(body.errors) ? body.errors : [];
    this.requestId = headers.get("X-Request-ID") ?? "";
    const seconds = Number(headers.get("Retry-After") ?? NaN);
    /** When the request may be repeated, in milliseconds since 1970; 0: the API does not say. */
    this.retryAt = Number.isFinite(seconds) ? Date.now() + seconds * 1_000 : 0;
  }
}

/** No answer: the API is away, or the wait was too long. */
export class Unreachable extends Error {
  constructor() {
    super("The API did not answer.");
    this.name = "Unreachable";
  }
}

/** Counts answers that said that the caller must sign in. */
export const refusals = createStore(0);

/**
 * Return the URL of a path of the API.
 * @param {string} path
 * @param {Options["query"]} [query]
 * @returns {URL}
 */
export function apiUrl(path, query = {}) {
  const url = path.startsWith(root.pathname) && root.pathname !== "/" ? new URL(path, root) : new URL(path.replace(/^\//, ""), root);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const item of Array.isArray(value) ? [value.join(",")] : [value]) {
      if (item !== "") url.searchParams.set(name, String(item));
    }
  }
  return url;
}

/**
 * Send a request. Throws Problem for an error of the API, Unreachable without an answer, and AbortError if aborted.
 * @template T
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer<T>>}
 */
export async function request(method, path, options = {}) {
  const { query, body, text, headers = {}, signal } = options;
  const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const sentAt = Date.now();
  /** @type {Response} */
  let response;
  let content = "";
  try {
    response = await fetch(apiUrl(path, query), {
      method,
      headers: { ...(payload === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      ...(payload === undefined ? {} : { body: payload }),
      credentials: "same-origin",
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    content = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    lost();
    throw new Unreachable();
  }
  const isProblem = (response.headers.get("Content-Type") ?? "").includes("problem+json");
  if (GATEWAY.has(response.status) || (response.status === 503 && !isProblem)) {
    lost();
    throw new Unreachable();
  }
  learn(response.headers.get("Date"), sentAt, Date.now());
  if (connection.get().away || Date.now() - connection.get().lastSeen > 500) seen();
  /** @type {any} */
  let data = null;
  if (content !== "") {
    try {
      data = JSON.parse(content);
    } catch {
      data = null;
    }
  }
  if (!response.ok) {
    if (response.status === 401) refusals.set(refusals.get() + 1);
    throw new Problem(response.status, data ?? {}, response.headers);
  }
  return { data, text: content, status: response.status, headers: response.headers };
}

/**
 * Read a path of the API.
 * @template T
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<T>}
 */
export async function get(path, options = {}) {
  return /** @type {T} */ ((await request("GET", path, options)).data);
}

/**
 * Post to a path of the API.
 * @template T
 * @param {string} path
 * @param {unknown} [body]
 * @param {Options} [options]
 * @returns {Promise<T>}
 */
export async function post(path, body, options = {}) {
  return /** @type {T} */ ((await request("POST", path, { ...options, body })).data);
}
