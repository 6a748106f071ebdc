// The same view or act as a command: curl, command line, Python.
import { apiUrl } from "./api.js";
import { root } from "./connection.js";

const NAMES_OF_OPTIONS = /** @type {Record<string, string>} */ ({ jobs_per_second: "rate" });

/**
 * Return a text as one word of a shell.
 * @param {string} text
 */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Return a JSON value as a literal of Python.
 * @param {unknown} value
 * @returns {string}
 */
export function python(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/**
 * Return a request as a command of curl. The key is a variable of the shell, never the text of one.
 * @param {string} method
 * @param {string} path
 * @param {{ query?: import("./api.js").Options["query"], body?: unknown, text?: string, isOpen?: boolean }} [options] isOpen: the API takes requests without a key
 */
export function curl(method, path, { query, body, text, isOpen = false } = {}) {
  const words = ["curl"];
  if (method !== "GET") words.push("-X", method);
  words.push(quoted(apiUrl(path, query).href));
  if (!isOpen) words.push("-H", '"Authorization: Bearer $JOBPROC_API_KEY"');
  const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
  if (payload !== undefined) words.push("-H", "'Content-Type: application/json'", "-d", quoted(payload));
  return words.join(" ");
}

/**
 * Return filters as options of the command line.
 * @param {Record<string, unknown>} filters
 */
export function options(filters) {
  return Object.entries(filters)
    .filter(([, value]) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `--${(NAMES_OF_OPTIONS[name] ?? name).replaceAll("_", "-")} ${quoted(Array.isArray(value) ? value.join(",") : String(value))}`)
    .join(" ");
}

/**
 * Return filters as arguments of Python.
 * @param {Record<string, unknown>} filters
 */
export function keywords(filters) {
  return Object.entries(filters)
    .filter(([, value]) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name}=${python(value)}`)
    .join(", ");
}

/**
 * Return a command of the command line, with the URL of this API.
 * @param {string} words
 */
export function cli(words) {
  return `jobproc --url ${quoted(root.href.replace(/\/$/, ""))} ${words}`.trim();
}

/**
 * Return an expression of Python with a client of this API.
 * @param {string} expression
 */
export function pythonCall(expression) {
  return `from jobproc import Client\n\nclient = Client(url=${JSON.stringify(root.href.replace(/\/$/, ""))})\n${expression}`;
}
