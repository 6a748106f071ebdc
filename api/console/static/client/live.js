// What is shown follows the system: read again in an interval, and never while nobody looks.
import { useCallback, useEffect, useRef, useState } from "../html.js";
import { Unreachable, request } from "./api.js";
import { checkVersion, connection, openStreams, ping, returns } from "./connection.js";
import { createStore, useStore } from "./store.js";

/** @typedef {{ interval: number, paused: boolean }} Following */
/**
 * @template T
 * @typedef {{ data: T | null, text: string, error: Error | null, loading: boolean, slow: boolean, at: number, etag: string, refresh: () => Promise<void> }} Read
 */

const DEFAULT_S = 5;
const PING_MS = 900;
const PING_BESIDE_STREAM_MS = 5_000;
const VERSION_MS = 60_000;
const SLOW_MS = 300;

/** Seconds between two reads, and whether they are paused. */
export const following = createStore(/** @type {Following} */ ({ interval: DEFAULT_S, paused: false }));
/** Counts reasons not to change what is shown: an open menu or dialog. */
export const holds = createStore(0);

/** Hold what is shown until the returned function is called. */
export function hold() {
  holds.set(holds.get() + 1);
  let held = true;
  return () => {
    if (held) holds.set(holds.get() - 1);
    held = false;
  };
}

/** Return true if nothing may be changed now: it is hidden, paused, held, or text is selected. */
export function isStill() {
  return document.hidden || following.get().paused || holds.get() > 0 || (getSelection()?.type === "Range");
}

setInterval(() => {
  const { away, lastSeen } = connection.get();
  if (!document.hidden && !away && Date.now() - lastSeen > (openStreams.get() > 0 ? PING_BESIDE_STREAM_MS : PING_MS)) void ping();
}, PING_MS);
setInterval(() => {
  if (!document.hidden && !connection.get().away) void checkVersion();
}, VERSION_MS);

/**
 * Load what a key names: at once, and by `refresh`. A load that a later one replaces is aborted.
 * `slow` is true once the first load has taken long.
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<void>} read
 */
export function useLoad(key, read) {
  const [slow, setSlow] = useState(false);
  const controller = useRef(/** @type {AbortController | null} */ (null));
  const refresh = useCallback(() => {
    controller.current?.abort();
    return read((controller.current = new AbortController()).signal);
  }, [key]);
  useEffect(() => {
    void refresh();
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => {
      clearTimeout(timer);
      setSlow(false);
      controller.current?.abort();
    };
  }, [key]);
  return { refresh, slow, controller };
}

/**
 * Call a function in the interval of the reads, and when the API has come back or the page is shown again.
 * @param {() => void} read
 * @param {number} [seconds] an interval of its own
 */
export function useInterval(read, seconds) {
  const latest = useRef(read);
  latest.current = read;
  const { interval, paused } = useStore(following);
  useEffect(() => {
    const tick = () => {
      if (!isStill() && !connection.get().away) latest.current();
    };
    const timer = setInterval(tick, (seconds ?? interval) * 1_000);
    const shown = () => {
      if (!document.hidden) tick();
    };
    document.addEventListener("visibilitychange", shown);
    const stop = returns.subscribe(() => latest.current());
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", shown);
      stop();
    };
  }, [interval, paused, seconds]);
}

/**
 * Read a path of the API, again in the interval. Another path is read at once; what was read before stays until then.
 * @template T
 * @param {string | null} path null: nothing is read
 * @param {{ query?: import("./api.js").Options["query"], seconds?: number, follow?: boolean }} [options]
 * @returns {Read<T>}
 */
export function useRead(path, options = {}) {
  const { query = {}, seconds, follow = true } = options;
  const key = JSON.stringify([path, query]);
  const [state, setState] = useState(/** @type {{ key: string, data: T | null, text: string, error: Error | null, at: number, etag: string }} */ ({ key: "", data: null, text: "", error: null, at: 0, etag: "" }));
  const { refresh, slow } = useLoad(key, async (signal) => {
    if (path === null) return;
    try {
      const answer = await request("GET", path, { query, signal });
      setState({ key, data: /** @type {T} */ (answer.data), text: answer.text, error: null, at: Date.now(), etag: answer.headers.get("ETag") ?? "" });
    } catch (error) {
      if (signal.aborted) return;
      // While the API is away, what was read stays; the bar above says so.
      setState((before) => ({ ...before, key, data: before.key === key || error instanceof Unreachable ? before.data : null, error: /** @type {Error} */ (error) }));
    }
  });
  useInterval(() => {
    if (follow) void refresh();
  }, seconds);
  const loading = path !== null && state.key !== key;
  return { ...state, error: state.key === key ? state.error : null, loading, slow: loading && slow, refresh };
}
