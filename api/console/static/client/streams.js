// Streams of server-sent events. A hidden page has none, and one that ends is opened again after a while.
import { useEffect, useRef, useState } from "../html.js";
import { apiUrl } from "./api.js";
import { connection, openStreams, ping, seen } from "./connection.js";
import { following } from "./live.js";
import { useStore } from "./store.js";

const AGAIN_MS = 1_000;
const REFUSED_MS = 15_000;

/**
 * Follow a stream while the component is there and the page is shown.
 * @param {string | null} path null: nothing is followed
 * @param {Record<string, (data: any) => void>} handlers by the name of the event
 * @param {import("./api.js").Options["query"]} [query]
 * @returns {"connecting" | "open" | "refused"} refused: the API has no place for it, or no such stream
 */
export function useStream(path, handlers, query = {}) {
  const latest = useRef(handlers);
  latest.current = handlers;
  const [state, setState] = useState(/** @type {"connecting" | "open" | "refused"} */ ("connecting"));
  const { away } = useStore(connection);
  const { paused } = useStore(following);
  const url = path === null || paused ? null : apiUrl(path, query).href;
  useEffect(() => {
    if (url === null || away) return;
    /** @type {EventSource | null} */
    let source = null;
    let timer = 0;
    let isCounted = false;
    const start = () => {
      clearTimeout(timer);
      if (document.hidden || source) return;
      const own = new EventSource(url);
      source = own;
      let opened = false;
      own.onopen = () => {
        opened = true;
        seen();
        isCounted = true;
        openStreams.set(openStreams.get() + 1);
        setState("open");
      };
      own.onerror = () => {
        stop();
        // A stream that was open and ends is the first to know that the API is away.
        if (opened) void ping();
        setState(opened ? "connecting" : "refused");
        timer = setTimeout(start, opened ? AGAIN_MS : REFUSED_MS);
      };
      for (const name of Object.keys(latest.current)) {
        own.addEventListener(name, (event) => {
          seen();
          latest.current[name]?.(JSON.parse(event.data));
        });
      }
    };
    const stop = () => {
      if (isCounted) openStreams.set(openStreams.get() - 1);
      isCounted = false;
      source?.close();
      source = null;
    };
    const changed = () => (document.hidden ? stop() : start());
    document.addEventListener("visibilitychange", changed);
    setState("connecting");
    start();
    return () => {
      document.removeEventListener("visibilitychange", changed);
      clearTimeout(timer);
      stop();
    };
  }, [url, away]);
  return state;
}
