// Whether the API answers, since when it does not, and whether the console was updated meanwhile.
import { learn } from "./clock.js";
import { createStore } from "./store.js";

/** @typedef {{ away: boolean, since: number, lastSeen: number, nextTry: number }} Connection */

const RETRY_MS = 1_000;
const PING_TIMEOUT_MS = 2_500;

const STATIC = "/console/static/";
const [prefix = "", files = ""] = new URL(import.meta.url).pathname.split(STATIC);
/** The address of the API: the console is served below it, under any prefix. */
export const root = new URL(`${prefix}/`, import.meta.url);
export const version = files.split("/")[0] ?? "";

export const connection = createStore(/** @type {Connection} */ ({ away: false, since: 0, lastSeen: Date.now(), nextTry: 0 }));
/** True once the server has another version of the console than the one that runs here. */
export const outdated = createStore(false);
/** Counts the open streams: they tell at once that the API is away. */
export const openStreams = createStore(0);
/** Counts how often the API came back: what is shown is read again. */
export const returns = createStore(0);

let timer = 0;

/** The API has answered. */
export function seen() {
  const before = connection.get();
  connection.set({ away: false, since: 0, lastSeen: Date.now(), nextTry: 0 });
  if (before.away) {
    clearTimeout(timer);
    returns.set(returns.get() + 1);
    void checkVersion();
  }
}

/** The API has not answered. Tries again each second until it does. */
export function lost() {
  const before = connection.get();
  clearTimeout(timer);
  timer = setTimeout(ping, RETRY_MS);
  connection.set({
    away: true,
    since: before.away ? before.since : Date.now(),
    lastSeen: before.lastSeen,
    nextTry: Date.now() + RETRY_MS,
  });
}

/** Ask whether the API is there. */
export async function ping() {
  const sentAt = Date.now();
  try {
    const response = await fetch(new URL("livez", root), {
      cache: "no-store",
      signal: AbortSignal.timeout(PING_TIMEOUT_MS),
    });
    if (response.ok) {
      learn(response.headers.get("Date"), sentAt, Date.now());
      seen();
    } else lost();
  } catch {
    lost();
  }
}

/** Compare the version of the console that the server has with that of this page. */
export async function checkVersion() {
  try {
    const response = await fetch(new URL("console", root), {
      method: "HEAD",
      cache: "no-store",
      signal: AbortSignal.timeout(PING_TIMEOUT_MS),
    });
    const etag = response.headers.get("ETag") ?? "";
    if (response.ok && etag !== "" && !etag.includes(version)) outdated.set(true);
  } catch {
    // The API is away: that is told by the next request.
  }
}
