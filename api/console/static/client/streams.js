// Streams of server-sent events. A hidden page has none, and one that ends is opened again after a while.
import { useEffect, useRef, useState } from "../html.js";
import { apiUrl } from "./api.js";
import { connection, lost, seen } from "./connection.js";
import { useStore } from "./store.js";

const AGAIN_MS = 1_000;
const REFUSED_MS = 15_000;

/**
 * Follow a stream while the component is there and the page is shown.
 * @param {string | null} path null: nothing is followed
 * @param {Record<string, (data: any) => void>} handlers by the name of the event
 * @param {import("./api.js").Options["query"]} [query]
 * @returns {boolean} true while the stream is open
 */
export function useStream(path, handlers, query = {}) {
  const latest = useRef(handlers);
  latest.current = handlers;
  const [open, setOpen] = useState(false);
  const { away } = useStore(connection);
  const url = path === null ? null : apiUrl(path, query).href;
  useEffect(() => {
    if (url === null || away) return;
    /** @type {EventSource | null} */
    let source = null;
    let timer = 0;
    const start = () => {
      clearTimeout(timer);
      if (document.hidden || source) return;
      const own = new EventSource(url);
      source = own;
      let opened = false;
      own.onopen = () => {
        opened = true;
        seen();
        setOpen(true);
      };
      own.onerror = () => {
        stop();
        // A stream that was open and breaks is the first to know that the API is away.
        if (opened) lost();
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
      source?.close();
      source = null;
      setOpen(false);
    };
    const changed = () => (document.hidden ? stop() : start());
    document.addEventListener("visibilitychange", changed);
    start();
    return () => {
      document.removeEventListener("visibilitychange", changed);
      clearTimeout(timer);
      stop();
    };
  }, [url, away]);
  return open;
}
