// A list that a page shows: the heading of the page, filters in the URL, a table, its states, and its pages.
import { html, useMemo } from "../html.js";
import { useRead } from "../client/live.js";
import { go, pageUrl, setQuery, usePlace } from "../client/router.js";
import { AsCommand } from "../parts/copy.js";
import { useKeys } from "../parts/keyboard.js";
import { Empty, ErrorMessage } from "../parts/message.js";
import { Table } from "../parts/table.js";

/**
 * @template T
 * @typedef {import("../parts/table.js").Column<T>} Column
 */

/** The heading of a page, its acts, and the page as a command. @param {{ title: any, commands?: import("../parts/copy.js").Description, children?: any }} props */
export function Heading({ title, commands, children }) {
  return html`<div class="heading"><h1>${title}</h1><span class="grow"></span>${children}${commands && html`<${AsCommand} commands=${commands} />`}</div>`;
}

/** A parameter of the URL that has one of some values. @param {{ name: string, label: string, choices: string[], none?: string, texts?: Record<string, string> }} props */
export function Choice({ name, label, choices, none = "any", texts = {} }) {
  const { query } = usePlace();
  return html`<label>${label} <select value=${query.get(name) ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.currentTarget.value, cursor: null })}>
    <option value="">${none}</option>${choices.map((value) => html`<option key=${value} value=${value}>${texts[value] ?? value.toLowerCase().replaceAll("_", " ")}</option>`)}
  </select></label>`;
}

/** A parameter of the URL that is written. @param {{ name: string, label: string, placeholder?: string }} props */
export function Typed({ name, label, placeholder = "" }) {
  const { query } = usePlace();
  return html`<label>${label} <input type="search" placeholder=${placeholder} value=${query.get(name) ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.currentTarget.value.trim(), cursor: null })} /></label>`;
}

/** Rows that are not here yet. */
export function Loading() {
  return html`<div class="frame-of-rows" aria-busy="true"></div>`;
}

/**
 * A list of the API. Its page is in the URL, as `cursor`.
 * @param {{
 *   caption: string, path: string, member: string, columns: Column<any>[], id: (row: any) => string, empty: any,
 *   query?: Record<string, string | number | null>, cursor?: string, href?: (row: any) => string, name?: (row: any) => string,
 *   acts?: (row: any, refresh: () => Promise<void>) => any, state?: (row: any) => string, note?: (data: any) => any, isPart?: boolean,
 * }} props `member`: the name of the rows in the response; `cursor`: the name of the parameter that pages have; `isPart`: the page has another list
 */
export function List({ caption, path, member, columns, id, empty, query = {}, cursor = "cursor", href, name, acts, state, note, isPart = false }) {
  const { query: url, path: page } = usePlace();
  const at = isPart ? null : url.get("cursor");
  const { data, error, refresh, loading, slow } = useRead(path, { query: { limit: 50, ...query, [cursor]: at } });
  const list = /** @type {any} */ (data);
  const rows = list?.[member] ?? [];
  const next = !isPart && list?.next && new URL(list.next, location.origin).searchParams.get(cursor);
  const older = () => next && setQuery({ cursor: next });
  const newer = () => at && history.back();
  useKeys({ "]": { text: "older page", run: () => void older() }, "[": { text: "newer page", run: () => void newer() } });
  const bound = useMemo(() => acts && ((/** @type {any} */ row) => acts(row, refresh)), [refresh, acts]);
  const isFiltered = at || Object.values(query).some((value) => value);
  return html`<${ErrorMessage} error=${error} retry=${refresh} />
    ${rows.length > 0
      ? html`<${Table} caption=${caption} columns=${columns} rows=${rows} id=${id} href=${href} name=${name} acts=${bound} state=${state} dimmed=${slow} />`
      : loading ? html`<${Loading} />` : !error && (next
        ? html`<${Empty} title="None so far."><p><button type="button" class="primary" onClick=${older}>Go on</button></p><//>`
        : isFiltered && !isPart
          ? html`<${Empty} title="Nothing fits."><p><button type="button" onClick=${() => go(pageUrl(page))}>Show all</button></p><//>`
          : empty)}
    ${list && note?.(list)}
    ${(next || at) && html`<div class="foot"><span class="grow"></span><button type="button" disabled=${!at} onClick=${newer}>← newer</button><button type="button" disabled=${!next} onClick=${older}>older →</button></div>`}`;
}
