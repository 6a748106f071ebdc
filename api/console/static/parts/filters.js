// Filters of a list as chips: all of them are parameters of the URL, with the names of GET /jobs.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { get } from "../client/api.js";
import { go, pageUrl, setQuery } from "../client/router.js";
import { createStore, useStore } from "../client/store.js";
import { useKeys } from "./keyboard.js";
import { STATES, Status } from "./status.js";

/** @typedef {Record<string, string>} Values */

/** The filters that the API has; each is a parameter of the URL. */
export const FILTERS = ["operation", "queue", "tag", "error", "batch", "id_suffix", "created_after", "created_before", "finished_after", "finished_before", "error_group", "input", "metadata"];
const SPANS = /** @type {[string, string, number][]} */ ([["1h", "last hour", 3_600], ["24h", "last 24 h", 86_400], ["7d", "last 7 days", 604_800]]);
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const END_OF_ID = /^…?([0-9a-f-]{8,35})$/i;

/** Operations and queues by name, for suggestions. */
const known = createStore(/** @type {{ operation: string[], queue: string[] }} */ ({ operation: [], queue: [] }));

async function loadKnown() {
  if (known.get().operation.length > 0) return;
  try {
    /** @type {{ operations: { name: string, queues: string[] }[] }} */
    const { operations } = await get("/operations");
    known.set({ operation: operations.map(({ name }) => name), queue: [...new Set(operations.flatMap(({ queues }) => queues))].sort() });
  } catch {
    // Suggestions are no part of the list.
  }
}

/**
 * Return the parameters of GET /jobs for those of the URL. `since` is a span of time that ends now.
 * @param {URLSearchParams} query
 * @param {number} now milliseconds since 1970
 * @returns {Values}
 */
export function filtersOf(query, now) {
  /** @type {Values} */
  const filters = {};
  for (const name of ["status", ...FILTERS]) {
    const value = query.get(name);
    if (value) filters[name] = value;
  }
  const span = SPANS.find(([name]) => name === query.get("since"));
  if (span && !filters.created_after) filters.created_after = new Date(now - span[2] * 1_000).toISOString();
  return filters;
}

/**
 * Read a text as a filter: `tag:nightly`, `error:"could not connect"`, the id of a job, or the end of one.
 * @param {string} text
 * @returns {{ name: string, value: string } | { id: string } | { problem: string }}
 */
export function readFilter(text) {
  const trimmed = text.trim();
  if (ID.test(trimmed)) return { id: trimmed.toLowerCase() };
  const end = END_OF_ID.exec(trimmed)?.[1];
  if (end !== undefined && !trimmed.includes(":")) return { name: "id_suffix", value: end.toLowerCase() };
  const colon = trimmed.indexOf(":");
  const name = trimmed.slice(0, colon).trim();
  const value = trimmed.slice(colon + 1).trim().replace(/^"(.*)"$/, "$1");
  if (colon > 0 && value && FILTERS.includes(name)) return { name, value };
  if (colon > 0) return { problem: FILTERS.includes(name) ? `${name} needs a value: ${name}:…` : `There is no filter ${name}. There are ${FILTERS.slice(0, 6).join(", ")} and times.` };
  return { problem: `Write a filter as name:value, such as tag:${trimmed || "nightly"}, or paste the id of a job.` };
}

/** @param {{ query: URLSearchParams }} props */
export function Filters({ query }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const { operation, queue } = useStore(known);
  useEffect(() => void loadKnown(), []);
  useKeys({ "/": { text: "filter", run: () => input.current?.focus() } });
  const states = useMemo(() => new Set((query.get("status") ?? "").split(",").filter(Boolean)), [query]);
  /** @param {string} state */
  const toggle = (state) => {
    const next = new Set(states);
    if (!next.delete(state)) next.add(state);
    setQuery({ status: STATES.filter((name) => next.has(name)).join(","), cursor: null });
  };
  /** @param {Event} event */
  const add = (event) => {
    event.preventDefault();
    const read = readFilter(text);
    if ("problem" in read) {
      setProblem(read.problem);
      return;
    }
    setProblem("");
    setText("");
    if ("id" in read) go(pageUrl(`jobs/${read.id}`));
    else setQuery({ [read.name]: read.value, cursor: null });
  };
  const suggestions = useMemo(() => {
    const name = text.split(":")[0] ?? "";
    if (name === "operation") return operation.map((value) => `operation:${value}`);
    if (name === "queue") return queue.map((value) => `queue:${value}`);
    return FILTERS.map((filter) => `${filter}:`);
  }, [text, operation, queue]);
  return html`<div class="filters">
    <div class="states" role="group" aria-label="States">
      ${STATES.map((state) => html`<button type="button" key=${state} class="chip" aria-pressed=${String(states.has(state))} onClick=${() => toggle(state)}><${Status} state=${state} /></button>`)}
    </div>
    <form class="bar" onSubmit=${add} role="search">
      <input ref=${input} type="search" list="filter-suggestions" aria-label="Add a filter, or open a job by its id" aria-describedby="filter-problem"
        placeholder="tag:nightly, error:…, input:order.id=7, an id    ( / )" value=${text} autocomplete="off" spellcheck=${false} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} />
      <datalist id="filter-suggestions">${suggestions.map((value) => html`<option key=${value} value=${value} />`)}</datalist>
      <label>Created <select value=${query.get("since") ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ since: event.currentTarget.value, cursor: null })}>
        <option value="">any time</option>
        ${SPANS.map(([name, label]) => html`<option key=${name} value=${name}>${label}</option>`)}
      </select></label>
      <label>Sort <select value=${query.get("sort") ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ sort: event.currentTarget.value, cursor: null })}>
        <option value="">newest</option><option value="created">oldest</option><option value="-finished">ended last</option><option value="finished">ended first</option>
      </select></label>
      <${Chips} query=${query} />
    </form>
    <p id="filter-problem" class="problem" role="alert">${problem}</p>
  </div>`;
}

/** The filters in force, each of which can be taken away. @param {{ query: URLSearchParams, withStates?: boolean }} props */
export function Chips({ query, withStates = false }) {
  const names = [...query.keys()].filter((name) => FILTERS.includes(name) || (withStates && (name === "status" || name === "since")));
  return html`<span class="chips">${names.map((name) => html`<span class="chip" key=${name}>
    ${name}:${query.get(name)}
    <button type="button" class="plain" aria-label=${`Remove the filter ${name}`} onClick=${() => setQuery({ [name]: null, cursor: null })}>✕</button>
  </span>`)}</span>`;
}
