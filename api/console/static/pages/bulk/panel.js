// An act on all jobs that match: preview, start, progress, stop, undo. Its state is the server's, its id is in the URL.
import { html, useState } from "../../html.js";
import { post } from "../../client/api.js";
import { clock, count, duration, plural } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { may } from "../../client/session.js";
import { ask, tell } from "../../parts/asking.js";
import { AsCommand } from "../../parts/copy.js";
import { ErrorMessage } from "../../parts/message.js";
import { JobId, Status, Time } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["SampleJobView"]} Sample */
/** @typedef {import("#api").components["schemas"]["BulkActionView"]} BulkAction */
/** @typedef {import("#api").components["schemas"]["BulkActionOutcomes"]} Outcomes */

const TYPE_FROM = 1_000;
const REASONS = /** @type {Record<string, string>} */ ({
  moved_on: "changed their state meanwhile",
  input_removed: "their input was removed",
  unique_conflict: "another job holds their unique key",
  unchanged: "had that priority already",
  was_running: "were running",
  removed: "have been deleted",
});
export const ACTIVE = new Set(["RUNNING", "UNDOING"]);

/** @param {Record<string, number | undefined> | null | undefined} reasons */
export function reasonsText(reasons) {
  return Object.entries(reasons ?? {}).filter(([, jobs]) => jobs).map(([reason, jobs]) => `${count(jobs ?? 0)} ${REASONS[reason] ?? reason}`).join(" · ");
}

/** @param {BulkAction} action */
export function title(action) {
  const verb = action.action === "reprioritise" ? `Set the priority ${action.priority} of` : action.action === "cancel" ? "Cancel" : "Retry";
  return `${verb} ${action.count_is_exact ? "" : "about "}${plural(action.count, "job")}`;
}

/** @param {Record<string, any>} filter */
export function filterText(filter) {
  const words = Object.entries(filter).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0)).map(([name, value]) => `${name}:${Array.isArray(value) ? value.join(",") : value}`);
  return words.join(" ") || "all jobs";
}

/** A bulk action, in whatever phase it is. @param {{ id: string, changed?: () => void }} props */
export function BulkPanel({ id, changed }) {
  const { data, error, refresh } = useRead(`/bulk-actions/${id}`, { seconds: 1 });
  const action = /** @type {BulkAction | null} */ (data);
  const [failure, setFailure] = useState(/** @type {Error | null} */ (null));
  /** @param {string} verb @param {unknown} [body] */
  const send = async (verb, body) => {
    setFailure(null);
    try {
      await post(`/bulk-actions/${id}/${verb}`, body);
      await refresh();
      changed?.();
    } catch (problem) {
      setFailure(/** @type {Error} */ (problem));
    }
  };
  if (!action) return html`<${ErrorMessage} error=${error} retry=${refresh} />`;
  return html`<section class="bulk" aria-label="Bulk action" data-phase=${action.phase}>
    <div class="heading"><h2>${title(action)}</h2><span class="quiet">${filterText(action.filter)}</span><span class="grow"></span>
      <${AsCommand} commands=${{
        curl: { method: "POST", path: `/bulk-actions/${id}/start`, body: { count: action.count } },
        cli: `actions start ${id}`,
        python: `client.bulk_action(${JSON.stringify(id)}).start()`,
      }} /></div>
    <${ErrorMessage} error=${failure ?? error} />
    ${action.error && html`<p class="problem">It was stopped by an error: ${action.error}</p>`}
    ${action.phase === "PREVIEW" && html`<${Preview} action=${action} start=${(/** @type {unknown} */ body) => send("start", body)} />`}
    ${action.phase === "EXPIRED" && html`<p>This preview has expired: a newer one took its place, or it was not started within an hour.</p>`}
    ${action.phase !== "PREVIEW" && action.phase !== "EXPIRED" && html`<${Progressing} action=${action} send=${send} />`}
  </section>`;
}

/** Up to ten jobs that match. @param {{ name: string, jobs: Sample[] | undefined }} props */
function Samples({ name, jobs }) {
  if (!jobs || jobs.length === 0) return null;
  return html`<details><summary>${name}</summary><ul class="samples">${jobs.map((job) => html`<li key=${job.job_id}><a href=${pageUrl(`jobs/${job.job_id}`)}>${job.operation} <${JobId} id=${job.job_id} /></a> <${Status} state=${job.status} /></li>`)}</ul></details>`;
}

/** @param {{ action: BulkAction, start: (body: unknown) => Promise<void> }} props */
function Preview({ action, start }) {
  const [typed, setTyped] = useState("");
  const [first, setFirst] = useState("");
  const isTyped = action.count > TYPE_FROM || action.action === "cancel";
  const ready = action.count > 0 && (!isTyped || typed.trim() === String(action.count));
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void start({ count: action.count, ...(first && { first: Number(first) }) });
  };
  return html`<form onSubmit=${submit}>
    <p>${action.count_is_exact ? "" : "About "}${plural(action.count, "job matches", "jobs match")}${action.count_is_exact ? ", exactly" : " (an estimate: more rows than one preview reads)"}, as of ${clock(action.as_of)}: later ones stay untouched.</p>
    ${reasonsText(action.would_skip) && html`<p>Would be left alone${action.would_skip_is_exact ? "" : ", as far as was looked"}: ${reasonsText(action.would_skip)}.</p>`}
    <p>At ${count(action.jobs_per_second)} jobs/s it takes about ${duration(action.count / action.jobs_per_second)}. ${action.action === "cancel" ? "An undo restores those that were waiting, as they were." : action.action === "retry" ? "An undo cancels those that have not begun by then." : "An undo restores the priorities."}</p>
    <${Samples} name="Ten oldest" jobs=${action.sample} /><${Samples} name="Ten newest" jobs=${action.sample_newest} /><${Samples} name="Ten by chance" jobs=${action.sample_random} />
    <p class="bar">
      <label>First <input inputmode="numeric" pattern="[0-9]*" size="6" value=${first} onInput=${(/** @type {any} */ event) => setFirst(event.currentTarget.value)} /> then wait for me</label>
      ${isTyped && action.count > 0 && html`<label>Type ${action.count} to start <input value=${typed} size="10" autocomplete="off" onInput=${(/** @type {any} */ event) => setTyped(event.currentTarget.value)} /></label>`}
      <button type="submit" class=${action.action === "cancel" ? "danger" : "primary"} disabled=${!ready}>Start</button>
    </p>
  </form>`;
}

/** @param {{ action: BulkAction, send: (verb: string, body?: unknown) => Promise<void> }} props */
function Progressing({ action, send }) {
  const undoing = action.phase === "UNDOING" || action.phase === "UNDONE";
  const left = action.phase === "RUNNING" && action.count > action.matched ? (action.count - action.matched) / action.jobs_per_second : null;
  const read = useRead(action.done > 0 && !undoing ? `/bulk-actions/${action.bulk_action_id}/outcomes` : null, { seconds: 3 });
  const outcomes = undoing ? null : /** @type {Outcomes | null} */ (read.data);
  const askUndo = () =>
    ask({
      title: "Undo this bulk action",
      text: html`${outcomes && html`<p><b>An undo takes back ${outcomes.is_complete ? "" : "at least "}${count(outcomes.undoable)} of ${count(outcomes.changed)} now.</b> ${reasonsText(outcomes.not_undoable) && `It leaves ${reasonsText(outcomes.not_undoable)}.`}</p>`}
        <p>${plural(action.done, "job")} were changed. ${action.action === "cancel" ? "Those that were waiting wait again, as they were. Those that were running stay cancelled." : action.action === "retry" ? "Those that have not begun are cancelled. Those that have begun go on." : "Those that still wait get their old priority."}</p>`,
      button: "Undo",
      danger: true,
      commands: { curl: { method: "POST", path: `/bulk-actions/${action.bulk_action_id}/undo` }, cli: `actions undo ${action.bulk_action_id}`, python: `client.bulk_action(${JSON.stringify(action.bulk_action_id)}).undo()` },
      run: async () => {
        await send("undo");
        tell("The undo has begun.");
      },
    });
  const verb = action.action === "cancel" ? "cancelled" : action.action === "retry" ? "retried" : "changed";
  return html`<p class="bar"><progress max="1" value=${action.progress} aria-label="Progress of the bulk action"></progress> ${Math.floor(action.progress * 100)} % · <b>${action.phase.toLowerCase()}</b>
      ${left !== null && html`<span class="quiet">· ${count(action.jobs_per_second)}/s · about ${duration(left)} left</span>`}</p>
    <p>${plural(action.done, "job")} ${verb}${action.cancels_requested > 0 ? `, ${count(action.cancels_requested)} of them were running and were asked to stop` : ""}. ${reasonsText(action.skipped) && `Left alone: ${reasonsText(action.skipped)}.`}</p>
    ${outcomes && html`<p>Of ${outcomes.is_complete ? "these" : `the oldest ${count(outcomes.counted)} of these`}: ${Object.entries(outcomes.states).map(([state, jobs], index) => html`${index > 0 && " · "}${count(jobs ?? 0)} <${Status} state=${state} />`)}. An undo would take back ${outcomes.is_complete ? "" : "at least "}${count(outcomes.undoable)} of ${count(outcomes.changed)} now.</p>`}
    ${action.stop_reason === "first" && html`<p><b>It waits for you: the first ${count(action.first ?? 0)} jobs are changed.</b></p>`}
    ${undoing && html`<p>${plural(action.undone, "change")} taken back. ${reasonsText(action.not_undone) && `Not taken back: ${reasonsText(action.not_undone)}.`}</p>`}
    ${action.started_at && html`<p class="quiet">started <${Time} at=${action.started_at} />${action.started_by ? ` by ${action.started_by}` : ""}</p>`}
    ${may("bulk") && html`<p class="bar">
      ${ACTIVE.has(action.phase) && html`<button type="button" class="danger" onClick=${() => void send("stop")}>Stop</button>`}
      ${action.phase === "STOPPED" && html`<button type="button" class="primary" onClick=${() => void send("start", { count: action.count })}>Go on</button>`}
      ${(action.phase === "STOPPED" || action.phase === "DONE") && action.done > 0 && html`<button type="button" onClick=${askUndo}>Undo…</button>`}
    </p>`}`;
}
