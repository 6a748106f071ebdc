// The page and all its state are in the URL. Links within the console change it without loading the page anew.
import { root } from "./connection.js";
import { createStore, useStore } from "./store.js";

/** @typedef {{ path: string, query: URLSearchParams, hash: string, key: number }} Place */

export const base = new URL("console", root).pathname;

let changes = 0;

/** @returns {Place} */
function read() {
  const path = decodeURI(location.pathname.slice(base.length)).replace(/^\/|\/$/g, "");
  changes += 1;
  return { path, query: new URLSearchParams(location.search), hash: location.hash, key: changes };
}

export const place = createStore(read());

addEventListener("popstate", () => place.set(read()));

/**
 * Return the URL of a page of the console.
 * @param {string} path
 * @param {Record<string, string | string[] | null | undefined> | URLSearchParams} [query]
 * @returns {string}
 */
export function pageUrl(path, query = {}) {
  const search = query instanceof URLSearchParams ? query : new URLSearchParams();
  if (!(query instanceof URLSearchParams)) {
    for (const [name, value] of Object.entries(query)) {
      const text = Array.isArray(value) ? value.join(",") : value;
      if (text !== null && text !== undefined && text !== "") search.set(name, text);
    }
  }
  // Commas and colons are readable in a query.
  const text = search.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return `${base}${path ? `/${path}` : ""}${text ? `?${text}` : ""}`;
}

/**
 * Go to a URL of the console.
 * @param {string} url
 * @param {{ replace?: boolean }} [options] replace: the place is not kept in the history
 */
export function go(url, { replace = false } = {}) {
  const before = location.pathname;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  place.set(read());
  if (location.pathname !== before) scrollTo(0, 0);
}

/**
 * Change some parameters of the URL; null removes one.
 * @param {Record<string, string | null>} changed
 * @param {{ replace?: boolean }} [options]
 */
export function setQuery(changed, options = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changed)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  go(pageUrl(place.get().path, query), options);
}

/** @returns {Place} */
export function usePlace() {
  return useStore(place);
}

addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  const inside = url.pathname === base || (url.pathname.startsWith(`${base}/`) && !url.pathname.startsWith(`${base}/docs`) && !url.pathname.startsWith(`${base}/session`));
  if (url.origin !== location.origin || !inside) return;
  if (url.pathname === location.pathname && url.search === location.search && url.hash !== "") return;
  event.preventDefault();
  go(url.pathname + url.search + url.hash);
});
