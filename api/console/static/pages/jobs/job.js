// A job: why it waits or failed, where its time went, its attempts, input, result and log, and the acts on it.
import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { request } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { connection } from "../../client/connection.js";
import { member } from "../../client/exact.js";
import { useRead } from "../../client/live.js";
import { pageUrl, usePlace } from "../../client/router.js";
import { may, session } from "../../client/session.js";
import { useStore } from "../../client/store.js";
import { useStream } from "../../client/streams.js";
import { askCancel, askRetry, canCancel, canRetry } from "../../parts/acts.js";
import { AsCommand, Copy, copyText } from "../../parts/copy.js";
import { tell } from "../../parts/asking.js";
import { Json, parsed } from "../../parts/json.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { ENDED, Progress, Status, Time } from "../../parts/status.js";
import { Attempts, Failure } from "./attempts.js";
import { EditAndRetry } from "./edit.js";
import { Log } from "./log.js";
import { Runs } from "./runs.js";
import { Timeline } from "./timeline.js";
import { Why } from "./why.js";

/** @typedef {import("#api").components["schemas"]["JobView"]} JobView */

/** @param {string} id */
function commandsOf(id) {
  return {
    curl: { method: "GET", path: `/jobs/${id}` },
    cli: `get ${id}`,
    python: `print(client.job(${JSON.stringify(id)}).details())`,
  };
}

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  const { hash } = usePlace();
  const { data, text, error, loading, refresh } = useRead(`/jobs/${id}`, { follow: false });
  const job = /** @type {JobView | null} */ (data);
  const [progress, setProgress] = useState(/** @type {JobView["progress"] | undefined} */ (undefined));
  const [edits, setEdits] = useState(false);
  const { away } = useStore(connection);
  const ended = job !== null && ENDED.has(job.status);
  const changed = (/** @type {{ progress?: JobView["progress"] }} */ event) => {
    setProgress(event.progress);
    void refresh();
  };
  useStream(job === null || ended ? null : `/jobs/${id}/events`, { status: changed, progress: (event) => setProgress(event.progress) });
  const node = useMemo(() => (text ? parsed(text) : null), [text]);
  const scrolled = useRef("");
  useEffect(() => {
    if (job && hash && scrolled.current !== hash) {
      scrolled.current = hash;
      document.querySelector(hash.replace(/[^#\w-]/g, ""))?.scrollIntoView();
    }
  }, [job === null, hash]);
  const retry = () => job && canRetry(job) && askRetry(job, refresh);
  useKeys({
    r: { text: "retry", run: () => void retry() },
    c: { text: "cancel", run: () => void (job && canCancel(job) && askCancel(job, refresh)) },
    e: { text: "edit and retry", run: () => void (job && canRetry(job) && setEdits(true)) },
    y: { text: "copy the id", run: () => void copyText(id).then(() => tell("The id was copied.")) },
    Y: { text: "copy as a command", run: () => void copyText(commands.cli(`get ${id}`)).then(() => tell("The command was copied.")) },
  });
  if (!job) return html`<h1>Job</h1>${error ? html`<${ErrorMessage} error=${error} retry=${refresh} />` : loading && html`<div class="frame-of-rows" aria-busy="true"></div>`}`;
  return html`<div class="heading">
      <h1>${job.operation}</h1><${Status} state=${job.status} />
      <code class="id">${id}</code><${Copy} text=${id} label="Copy the id" />
      <span class="grow"></span>
      ${canRetry(job) && html`<button type="button" class="primary" disabled=${away} onClick=${retry}>Retry</button>
        <button type="button" disabled=${away} onClick=${() => setEdits(true)}>Edit and retry</button>`}
      ${canCancel(job) && html`<button type="button" class="danger" disabled=${away} onClick=${() => askCancel(job, refresh)}>Cancel</button>`}
      ${job.cancel_requested && !ended && html`<span class="quiet">asked to stop</span>`}
      ${may("jobs:write") && html`<a class="button" href=${pageUrl(`operations/${encodeURIComponent(job.operation)}`, { copy: id })}>Submit a copy</a>`}
      <${AsCommand} commands=${commandsOf(id)} />
    </div>
    <${ErrorMessage} error=${error} />
    ${!ended && html`<p><${Progress} progress=${progress ?? job.progress} /></p>`}
    <${Why} job=${job} />
    <section id="timeline"><h2>Timeline</h2><${Timeline} job=${job} /></section>
    ${job.error && job.status !== "FAILED" && html`<section id="error"><h2>Error</h2><${Failure} error=${job.error} /></section>`}
    ${job.attempts.length > 0 && html`<section id="attempts"><h2>Attempts</h2><${Attempts} job=${job} /></section>`}
    <${Payload} id=${id} job=${job} node=${node} what="input" />
    <${Payload} id=${id} job=${job} node=${node} what="result" />
    ${job.runs.length > 0 && html`<section id="runs"><h2>Runs</h2><${Runs} job=${job} node=${node} /></section>`}
    <section id="logs"><h2>Log</h2>${may("jobs:payload") ? html`<${Log} job=${job} />` : html`<${Hidden} what="Logs need" />`}</section>
    <${Facts} job=${job} node=${node} />
    ${edits && html`<${EditAndRetry} job=${job} close=${() => setEdits(false)} done=${refresh} />`}`;
}

/** @param {{ what: string }} props */
function Hidden({ what }) {
  return html`<${Empty} title="Hidden by your role."><p>${what} the scope <code>jobs:payload</code>.</p><//>`;
}

/**
 * The input or the result, as it is stored.
 * @param {{ id: string, job: JobView, node: import("../../client/exact.js").Node | null, what: "input" | "result" }} props
 */
function Payload({ id, job, node, what }) {
  const [whole, setWhole] = useState(/** @type {import("../../client/exact.js").Node | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const omitted = what === "input" ? job.input_omitted : job.result_omitted;
  const hidden = !may("jobs:payload");
  const load = async () => {
    try {
      const answer = await request("GET", `/jobs/${id}/${what}`, what === "input" ? { query: { run: 0 } } : {});
      setWhole(member(parsed(answer.text) ?? undefined, what) ?? null);
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
  };
  if (what === "result" && job.status !== "SUCCESS") return null;
  const value = whole ?? member(node ?? undefined, what);
  const title = what === "input" ? "Input" : "Result";
  return html`<section id=${what}><h2>${title}</h2>
    ${hidden
      ? html`<${Hidden} what="Inputs and results need" />`
      : omitted && !whole
        ? html`<p>It is too large to be shown at once. <button type="button" onClick=${load}>Load it</button> <a href=${job.links[what]} download=${`${id}.${what}.json`}>Download</a></p>`
        : what === "input" && job.input_removed
          ? html`<p class="quiet">The input was removed after the end of the job.</p>`
          : value && html`<${Json} node=${value} label=${what} />`}
    <${ErrorMessage} error=${error} />
  </section>`;
}

/**
 * Return the links of a job to traces and logs, by the templates of the installation.
 * @param {JobView} job
 * @returns {[string, string][]}
 */
function linksOf(job) {
  const templates = session.get().settings?.links;
  /** @param {string} template */
  const filled = (template) => template.replaceAll("{job_id}", job.job_id).replaceAll("{trace_id}", job.trace_id ?? "");
  /** @type {[string, string | null | undefined][]} */
  const all = [["Trace", templates?.trace?.includes("{trace_id}") && !job.trace_id ? null : templates?.trace], ["Logs", templates?.logs]];
  return all.flatMap(([name, template]) => (template ? [/** @type {[string, string]} */ ([name, filled(template)])] : []));
}

/** What was submitted, and where the job belongs. @param {{ job: JobView, node: import("../../client/exact.js").Node | null }} props */
function Facts({ job, node }) {
  const metadata = member(node ?? undefined, "metadata");
  const outside = linksOf(job);
  const rows = /** @type {[string, any][]} */ ([
    ["Queue", html`<a href=${pageUrl("jobs", { queue: job.queue })}>${job.queue}</a>`],
    ["Priority", job.priority],
    ["Operation", html`<a href=${pageUrl("jobs", { operation: job.operation })}>${job.operation}</a> version ${job.version}`],
    ["Tags", job.tags.length > 0 && job.tags.map((tag) => html`<a class="chip" key=${tag} href=${pageUrl("jobs", { tag })}>${tag}</a>`)],
    ["Submitted", html`<${Time} at=${job.created_at} />${job.submitted_by && ` by ${job.submitted_by}`}`],
    ["Not before", job.run_at && html`<${Time} at=${job.run_at} />`],
    ["Deadline", job.deadline && html`<${Time} at=${job.deadline} />`],
    ["Time limit", job.timeout_seconds !== null && html`${job.timeout_seconds} s an attempt`],
    ["Unique key", job.unique && html`<code>${job.unique.key}</code> while ${job.unique.while}`],
    ["Concurrency key", job.concurrency_key && html`<code>${job.concurrency_key}</code>`],
    ["Kept", job.keep_seconds !== null && html`${job.keep_seconds} s after its end`],
    ["Run", job.run > 0 && job.run],
    ["Elsewhere", outside.length > 0 && outside.map(([name, url]) => html`<a key=${name} href=${url} target="_blank" rel="noopener noreferrer">${name}</a> `)],
  ]);
  return html`<section id="links"><h2>Facts</h2>
    <dl class="facts">${rows.filter(([, value]) => value !== null && value !== false).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    ${metadata?.kind === "object" && html`<h3>Metadata</h3><${Json} node=${metadata} label="metadata" />`}
  </section>`;
}
