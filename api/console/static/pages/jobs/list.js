// The list of jobs. Its URL has the parameters of GET /jobs.
import { html, lazy, useEffect, useMemo, useState } from "../../html.js";
import { serverNow } from "../../client/clock.js";
import * as commands from "../../client/commands.js";
import { connection } from "../../client/connection.js";
import { count, plural } from "../../client/format.js";
import { go, pageUrl, setQuery, usePlace } from "../../client/router.js";
import { may } from "../../client/session.js";
import { useStore } from "../../client/store.js";
import { RowActs, askCancel, askMany, askRetry, canCancel, canRetry } from "../../parts/acts.js";
import { AsCommand, copyText } from "../../parts/copy.js";
import { tell } from "../../parts/asking.js";
import { Chips, Filters, filtersOf } from "../../parts/filters.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Table } from "../../parts/table.js";
import { COLUMNS } from "./columns.js";
import { FirstJob } from "./first_job.js";
import { useRows } from "./rows.js";

/** @typedef {import("./rows.js").JobRow} JobRow */

const BulkDraft = lazy(async () => (await import("../bulk/draft.js")).BulkDraft);
const BulkPanel = lazy(async () => (await import("../bulk/panel.js")).BulkPanel);
const PAGE_SIZES = ["20", "50", "100", "200"];
const KEYS = { r: "retry the row", c: "cancel the row", y: "copy the id", Y: "copy the row as a command" };

/** @param {Record<string, string>} filters @param {Record<string, string>} options */
function commandsOf(filters, options) {
  const { cursor: _, ...rest } = options;
  const given = { ...filters, ...rest };
  return {
    curl: { method: "GET", path: "/jobs", query: given },
    cli: `list ${commands.options(given)}`,
    python: `for job in client.list(${commands.keywords(given)}):\n    print(job.job_id, job.status)`,
  };
}

/** @param {URLSearchParams} query @returns {Record<string, string>} */
function optionsOf(query) {
  const { sort, rows: limit, cursor } = Object.fromEntries(query);
  return { ...(sort && { sort }), limit: limit ?? "50", ...(cursor && { cursor }) };
}

export function Page() {
  const { query } = usePlace();
  const search = query.toString();
  const filters = useMemo(() => filtersOf(query, serverNow()), [search]);
  const options = useMemo(() => optionsOf(query), [search]);
  const { shown, loading, slow, replace, follow } = useRows(filters, options);
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  const { away } = useStore(connection);
  useEffect(() => setSelected(new Set()), [search]);
  const hasFilters = Object.keys(filters).length > 0;
  const next = shown.next && new URL(shown.next, location.origin).searchParams.get("cursor");
  const chosen = shown.rows.filter((row) => selected.has(row.job_id));
  const older = () => next && setQuery({ cursor: next });
  const newer = () => (query.get("cursor") ? history.back() : void replace());
  const actOnAll = () => setQuery({ act: (query.get("status") ?? "FAILED").split(",").every((state) => state === "FAILED" || state === "CANCELLED") ? "retry" : "cancel", bulk: null });
  useKeys({
    a: { text: "act on all that match", run: actOnAll },
    n: { text: "show newer jobs", run: () => void replace() },
    "]": { text: "older page", run: () => void older() },
    "[": { text: "newer page", run: newer },
  });
  /** @param {JobRow} row @param {string} key */
  const onKey = (row, key) => {
    if (key === "r" && canRetry(row)) askRetry(row, follow);
    if (key === "c" && canCancel(row)) askCancel(row, follow);
    if (key === "y" || key === "Y") {
      void copyText(key === "y" ? row.job_id : commands.cli(`get ${row.job_id}`));
      tell(key === "y" ? "The id was copied." : "The command was copied.");
    }
  };
  const acts = useMemo(() => (/** @type {JobRow} */ row) => html`<${RowActs} job=${row} done=${follow} />`, [follow]);
  const href = useMemo(() => (/** @type {JobRow} */ row) => pageUrl(`jobs/${row.job_id}`), []);
  if (!loading && !shown.error && shown.rows.length === 0 && !hasFilters && !shown.next) return html`<h1>Jobs</h1><${FirstJob} />`;
  return html`<div class="heading"><h1>Jobs</h1><span class="grow"></span>
      ${may("bulk") && html`<button type="button" disabled=${away || loading} onClick=${actOnAll}>Act on all ${shown.total === null ? "" : `${count(shown.total)} `}…</button>`}
      <${AsCommand} commands=${commandsOf(filters, options)} />
    </div>
    <${Filters} query=${query} />
    ${query.get("act") && may("bulk") && html`<${BulkDraft} filters=${filters} act=${query.get("act")} />`}
    ${query.get("bulk") && html`<${BulkPanel} key=${query.get("bulk")} id=${query.get("bulk")} changed=${follow} />`}
    <${ErrorMessage} error=${shown.error} retry=${replace} />
    ${shown.newer > 0 && html`<button type="button" class="newer" onClick=${() => void replace()}>${count(shown.newer)}${shown.newerIsMore ? " or more" : ""} newer · show</button>`}
    ${shown.rows.length > 0
      ? html`<${Table} caption="Jobs" columns=${COLUMNS} rows=${shown.rows} id=${(/** @type {JobRow} */ row) => row.job_id} href=${href}
          name=${(/** @type {JobRow} */ row) => `${row.operation} …${row.job_id.slice(-12)}`} state=${(/** @type {JobRow} */ row) => (row.gone ? "left" : "")}
          selected=${selected} onSelect=${setSelected} acts=${acts} onKey=${onKey} keys=${KEYS} dimmed=${slow} />`
      : loading
        ? html`<div class="frame-of-rows" aria-busy="true"></div>`
        : !shown.error && html`<${Nothing} query=${query} scanned=${shown.scanned} next=${next} />`}
    ${shown.rows.length > 0 && html`<div class="foot">
      <span>${count(shown.rows.length)}${shown.total === null ? "" : ` of about ${count(shown.total)}`} · looked at ${plural(shown.scanned, "row")}</span>
      <span class="grow"></span>
      <button type="button" disabled=${!query.get("cursor")} onClick=${newer}>← newer</button>
      <button type="button" disabled=${!next} onClick=${older}>older →</button>
      <label>rows <select value=${options.limit} onChange=${(/** @type {any} */ event) => setQuery({ rows: event.currentTarget.value, cursor: null })}>
        ${PAGE_SIZES.map((size) => html`<option key=${size} value=${size}>${size}</option>`)}
      </select></label>
    </div>`}
    ${chosen.length > 0 && html`<div class="selection" role="toolbar" aria-label="Selected jobs">
      <strong>${plural(chosen.length, "job")} selected</strong>
      <button type="button" disabled=${away || !chosen.some(canRetry)} onClick=${() => askMany("retry", chosen, follow)}>Retry</button>
      <button type="button" disabled=${away || !chosen.some(canCancel)} onClick=${() => askMany("cancel", chosen, follow)}>Cancel</button>
      <button type="button" onClick=${() => void copyText(chosen.map((row) => row.job_id).join("\n")).then(() => tell("The ids were copied."))}>Copy ids</button>
      <button type="button" onClick=${() => setSelected(new Set())}>Select none</button>
    </div>`}`;
}

/** Nothing fits, or nothing so far. @param {{ query: URLSearchParams, scanned: number, next: string | null }} props */
function Nothing({ query, scanned, next }) {
  if (next) {
    return html`<${Empty} title=${`Looked at ${plural(scanned, "row")}, none fits so far.`}>
      <p><button type="button" class="primary" onClick=${() => setQuery({ cursor: next })}>Go on</button> A tag or a span of time finds it at once.</p>
    <//>`;
  }
  return html`<${Empty} title="No job fits.">
    <p><${Chips} query=${query} withStates /></p>
    <p><button type="button" onClick=${() => go(pageUrl("jobs"))}>Show all</button></p>
  <//>`;
}
