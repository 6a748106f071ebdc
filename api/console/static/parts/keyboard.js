// Keys: of the page, and after `g` of the pages. They can be turned off, and are silent while one types.
import { useEffect, useRef } from "../html.js";
import { createStore } from "../client/store.js";

/** @typedef {Record<string, { text: string, run: (event: KeyboardEvent) => void }>} Keys */

const PREFIX_MS = 1_500;
const STORED = "jobproc.keys";

/** @type {{ current: Keys }[]} */
const layers = [];
export const enabled = createStore(localStorage.getItem(STORED) !== "off");
export const helpShown = createStore(false);
export const paletteShown = createStore(false);
/** @type {Keys} */
let afterG = {};
let prefixUntil = 0;

/**
 * Turn the keys on or off, for this browser.
 * @param {boolean} on
 */
export function enableKeys(on) {
  if (on) localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, "off");
  enabled.set(on);
}

/**
 * Set the keys after `g`, which go to pages.
 * @param {Keys} keys
 */
export function setPageKeys(keys) {
  afterG = keys;
}

/**
 * Listen to keys while the component is there.
 * @param {Keys} keys
 */
export function useKeys(keys) {
  const layer = useRef(keys);
  layer.current = keys;
  useEffect(() => {
    layers.push(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type !== "checkbox"));
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    paletteShown.set(!paletteShown.get());
    return;
  }
  if (isTyping(event.target)) {
    if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
    return;
  }
  if (!enabled.get() || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (Date.now() < prefixUntil) {
    prefixUntil = 0;
    const found = afterG[event.key];
    if (found) {
      event.preventDefault();
      found.run(event);
    }
    return;
  }
  if (event.key === "g") {
    prefixUntil = Date.now() + PREFIX_MS;
    return;
  }
  run(event.key, event);
});

/**
 * Do what a key does.
 * @param {string} key
 */
export function press(key) {
  run(key, new KeyboardEvent("keydown", { key }));
}

/** @param {string} key @param {KeyboardEvent} event */
function run(key, event) {
  for (const layer of [...layers].reverse()) {
    const found = layer.current[key];
    if (found) {
      event.preventDefault();
      found.run(event);
      return;
    }
  }
}

/** Return the keys that are listened to now, and what each does. */
export function allKeys() {
  /** @type {Map<string, string>} */
  const rows = new Map([["Ctrl K", "palette"]]);
  for (const layer of layers) for (const [key, { text }] of Object.entries(layer.current)) rows.set(key, text);
  for (const [key, { text }] of Object.entries(afterG)) rows.set(`g ${key}`, text);
  return rows;
}
