// The command palette: pages, operations, queues, a pasted id, and the keys of the page.
import { html, useEffect, useMemo, useState } from "../html.js";
import { get } from "../client/api.js";
import { go, pageUrl } from "../client/router.js";
import { may } from "../client/session.js";
import { Dialog } from "../parts/dialog.js";
import { allKeys, paletteShown, press } from "../parts/keyboard.js";
import { routes } from "../routes.js";

/** @typedef {{ text: string, hint: string, run: () => void }} Entry */

const SHOWN = 12;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const END_OF_ID = /^[0-9a-f-]{8,35}$/i;

/** @param {string} path @param {Record<string, string>} [query] */
const to = (path, query) => () => go(pageUrl(path, query));

/** Entries that were read from the API. @returns {Promise<Entry[]>} */
async function known() {
  if (!may("jobs:read")) return [];
  const { operations } = /** @type {import("#api").components["schemas"]["OperationList"]} */ (await get("/operations"));
  const queues = may("queues") ? [...new Set(operations.flatMap((operation) => operation.queues))] : [];
  return [
    ...operations.map(({ name }) => ({ text: name, hint: "operation", run: to(`operations/${encodeURIComponent(name)}`) })),
    ...queues.map((name) => ({ text: name, hint: "queue", run: to(`queues/${encodeURIComponent(name)}`) })),
  ];
}

export function Palette() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [read, setRead] = useState(/** @type {Entry[]} */ ([]));
  useEffect(() => void known().then(setRead, () => undefined), []);
  const keys = useMemo(allKeys, []);
  const entries = useMemo(() => {
    const typed = text.trim();
    if (ID.test(typed)) return [{ text: typed, hint: "open the job", run: to(`jobs/${typed.toLowerCase()}`) }];
    const pages = routes.filter(({ nav, scope }) => nav && (!scope || may(scope))).map(({ title, path }) => ({ text: title, hint: "page", run: to(path) }));
    const acts = [...keys].filter(([key]) => key.length === 1 && key !== "?").map(([key, does]) => ({ text: does, hint: key, run: () => press(key) }));
    const ends = END_OF_ID.test(typed) ? [{ text: typed, hint: "find by the end of the id", run: to("jobs", { id_suffix: typed.toLowerCase() }) }] : [];
    const words = typed.toLowerCase().split(/\s+/);
    return [...ends, ...[...pages, ...acts, ...read].filter((entry) => words.every((word) => `${entry.text} ${entry.hint}`.toLowerCase().includes(word)))].slice(0, SHOWN);
  }, [text, read]);
  const close = () => paletteShown.set(false);
  /** @param {Entry | undefined} entry */
  const choose = (entry) => {
    if (!entry) return;
    close();
    // After the dialog has given the focus back.
    setTimeout(entry.run, 0);
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) setAt((at + step + entries.length) % Math.max(entries.length, 1));
    if (event.key === "Enter") choose(entries[at]);
    if (step || event.key === "Enter") event.preventDefault();
  };
  return html`<${Dialog} title="Go to" close=${close}>
    <input type="search" autofocus role="combobox" aria-expanded="true" aria-controls="palette-entries" aria-activedescendant=${entries.length > 0 ? `palette-${at}` : null} aria-label="Page, operation, queue, act or id of a job"
      placeholder="page, operation, queue, act, id of a job" value=${text} onKeyDown=${onKey} onInput=${(/** @type {any} */ event) => {
        setText(event.currentTarget.value);
        setAt(0);
      }} />
    <ul id="palette-entries" role="listbox" aria-label="Entries" class="palette">${entries.map((entry, index) => html`<li key=${`${entry.hint} ${entry.text}`} id=${`palette-${index}`} role="option" aria-selected=${String(index === at)} onClick=${() => choose(entry)}>${entry.text} <span class="quiet">${entry.hint}</span></li>`)}</ul>
  <//>`;
}
