// A schedule: the next times, what became of the last ones, run now, pause, change, delete.
import { html, useMemo, useState } from "../../html.js";
import { request } from "../../client/api.js";
import { member } from "../../client/exact.js";
import { useRead } from "../../client/live.js";
import { go, pageUrl } from "../../client/router.js";
import { Act, Detail, Facts, askPost } from "../../layouts/detail.js";
import { Heading, List } from "../../layouts/list.js";
import { ask } from "../../parts/asking.js";
import { Json, parsed } from "../../parts/json.js";
import { useKeys } from "../../parts/keyboard.js";
import { Age, JobId, Time, word } from "../../parts/status.js";
import { ScheduleForm } from "./form.js";
import { Timing } from "./list.js";

/** @typedef {import("./form.js").Schedule} Schedule */
/** @typedef {import("#api").components["schemas"]["FireView"]} Fire */

const FIRES = /** @type {import("../../parts/table.js").Column<Fire>[]} */ ([
  { key: "at", title: "Time", cell: (fire) => html`<${Time} at=${fire.at} />${fire.through && html` to <${Time} at=${fire.through} />`}` },
  { key: "outcome", title: "Outcome", cell: (fire) => html`<b class=${fire.outcome === "fired" ? "" : "problem"}>${fire.outcome}</b>${fire.reason && ` · ${word(fire.reason)}`}` },
  { key: "late", title: "Decided", right: true, cell: (fire) => html`<${Age} at=${fire.fired_at} />` },
  { key: "job", title: "Job", link: true, cell: (fire) => fire.job_id && html`<${JobId} id=${fire.job_id} />` },
]);

/** @param {{ params: { id: string } }} props */
export function Page({ params: { id } }) {
  const path = `/schedules/${id}`;
  const read = /** @type {import("../../client/live.js").Read<Schedule>} */ (useRead(path));
  const { data: schedule, text, etag, refresh } = read;
  const [changing, setChanging] = useState(false);
  const job = useMemo(() => member(parsed(text || "null") ?? undefined, "job"), [text]);
  const run = () => schedule && askPost({
    title: `Run ${schedule.name} now`, text: "A job is submitted now, beside the times of the schedule.", button: "Run now", path: `${path}/run`, cli: `schedules run ${schedule.name}`,
    done: refresh, told: "The job was submitted.",
  });
  const verb = schedule?.paused ? "resume" : "pause";
  const pause = () => schedule && !schedule.managed && askPost({
    title: `${verb === "pause" ? "Pause" : "Resume"} ${schedule.name}`, text: verb === "pause" ? "It does not fire any more. What it has submitted goes on. Resume takes it back." : "It fires again at its next time.",
    button: verb === "pause" ? "Pause" : "Resume", path: `${path}/${verb}`, cli: `schedules ${verb} ${schedule.name}`, done: refresh, told: verb === "pause" ? "The schedule is paused." : "The schedule fires again.",
  });
  const remove = () => schedule && ask({
    title: `Delete ${schedule.name}`, text: html`<p>It does not fire any more, and its history is deleted. Its jobs stay. <strong>That cannot be taken back.</strong></p>`, button: "Delete", danger: true,
    commands: { curl: { method: "DELETE", path }, cli: `schedules delete ${schedule.name}` },
    run: async () => {
      await request("DELETE", path, { headers: etag ? { "If-Match": etag } : {} });
      go(pageUrl("schedules"));
      return "The schedule is deleted.";
    },
  });
  const change = () => schedule && !schedule.managed && setChanging(true);
  useKeys({ r: { text: "run now", run: () => void run() }, p: { text: "pause or resume", run: () => void pause() }, e: { text: "change", run: () => void change() } });
  return html`<${Detail} read=${read} title="Schedule">${(/** @type {Schedule} */ data) => html`
    <${Heading} title=${data.name} commands=${{ curl: { method: "GET", path }, cli: `schedules get ${data.name}`, python: `print(client.schedules.get("${id}"))` }}>
      <b class=${data.paused ? "paused" : "quiet"}>${word(data.state)}</b><${Act} scope="schedules" kind="primary" run=${run}>Run now<//>
      ${!data.managed && html`<${Act} scope="schedules" run=${pause}>${verb === "pause" ? "Pause" : "Resume"}<//><${Act} scope="schedules" run=${change}>Change<//><${Act} scope="schedules" kind="danger" run=${remove}>Delete<//>`}<//>
    ${data.managed && html`<p>A file of the operators declares this schedule: requests can run it, and change nothing.</p>`}
    <section><h2>Next times</h2>${data.next_runs.length > 0
      ? html`<ol>${data.next_runs.map((at) => html`<li key=${at}><${Time} at=${at} /> · <${Age} at=${at} /></li>`)}</ol>`
      : html`<p class="quiet">${data.paused ? "None while it is paused." : "There is none any more."}</p>`}${data.pending_at && html`<p><${Time} at=${data.pending_at} /> waits until the last job has ended.</p>`}</section>
    <section><h2>Last times</h2><${List} caption="Last times" path=${`${path}/fires`} member="fires" cursor="before" columns=${FIRES} id=${(/** @type {Fire} */ fire) => `${fire.at} ${fire.fired_at}`}
      href=${(/** @type {Fire} */ fire) => (fire.job_id ? pageUrl(`jobs/${fire.job_id}`) : location.href)} empty=${html`<p class="quiet">It has not fired yet.</p>`} /></section>
    <section><h2>Facts</h2><${Facts} rows=${[
      ["Fires", html`<${Timing} schedule=${data} />`], ["Operation", html`<a href=${pageUrl("jobs", { operation: data.job.operation })}>${data.job.operation}</a>`], ["While the last job runs", word(data.overlap)],
      ["Missed instants", `${data.catch_up.policy}, at most ${data.catch_up.within_seconds} s late`], ["Largest delay", data.jitter_seconds > 0 && `${data.jitter_seconds} s`],
      ["Not before", data.starts_at && html`<${Time} at=${data.starts_at} />`], ["Not after", data.ends_at && html`<${Time} at=${data.ends_at} />`],
      ["Created", html`<${Time} at=${data.created_at} />${data.created_by && ` by ${data.created_by}`}`], ["Changed", html`<${Time} at=${data.changed_at} />`],
    ]} /><h3>Job</h3>${job && html`<${Json} node=${job} label="job" />`}</section>
    ${changing && html`<${ScheduleForm} schedule=${data} text=${text} etag=${etag} close=${() => setChanging(false)} done=${() => void refresh()} />`}`}<//>`;
}
