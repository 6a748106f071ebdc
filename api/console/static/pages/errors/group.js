// An error group: how many jobs, since when, samples, and an act on all of them.
import { html, lazy } from "../../html.js";
import { count } from "../../client/format.js";
import { pageUrl, setQuery, usePlace } from "../../client/router.js";
import { Act, Facts, Figures } from "../../layouts/detail.js";
import { Heading, Loading } from "../../layouts/list.js";
import { Copy } from "../../parts/copy.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Spark } from "../../parts/spark.js";
import { Age, JobId, Time } from "../../parts/status.js";
import { Span, useGroups } from "./groups.js";

const BulkDraft = lazy(async () => (await import("../bulk/draft.js")).BulkDraft);
const BulkPanel = lazy(async () => (await import("../bulk/panel.js")).BulkPanel);

/** @param {{ params: { group: string } }} props */
export function Page({ params: { group: id } }) {
  const { query } = usePlace();
  const { read: { data, error, refresh, loading }, since, filter } = useGroups();
  const group = data?.errors.find((item) => item.error_group === id);
  const jobs = { status: "FAILED", error_group: id, sort: "-finished" };
  const act = () => setQuery({ act: "retry", bulk: null });
  useKeys({ a: { text: "act on all jobs of the group", run: act } });
  return html`<${Heading} title=${group ? group.type : "Error group"} commands=${{ curl: { method: "GET", path: "/errors", query: filter }, cli: `list --error-group ${id}`, python: `for job in client.list(error_group="${id}"):\n    print(job.job_id)` }}>
      <${Span} /><${Act} scope="bulk" kind="primary" run=${act}>Act on all …<//><a class="button" href=${pageUrl("jobs", jobs)}>Jobs</a><//>
    ${query.get("act") && html`<${BulkDraft} filters=${{ status: "FAILED", error_group: id }} act=${query.get("act")} />`}
    ${query.get("bulk") && html`<${BulkPanel} key=${query.get("bulk")} id=${query.get("bulk")} changed=${refresh} />`}
    <${ErrorMessage} error=${error} retry=${refresh} />
    ${group
      ? html`<${Figures} rows=${[["Jobs", count(group.count)], ["First", html`<${Age} at=${group.first_at} />`], ["Last", html`<${Age} at=${group.last_at} />`], ["Over time", html`<${Spark} values=${group.counts} label="Failed jobs" format=${count} />`]]} />
        <section class="failure"><h2>Newest text</h2><pre tabindex="0">${group.sample_text}</pre><${Copy} text=${`${group.type}: ${group.sample_text}`} label="Copy the text" />
          <${Facts} rows=${[["Operation", html`<a href=${pageUrl("jobs", { operation: group.operation })}>${group.operation}</a>`], ["Text of the group", group.normalised_text], ["First", html`<${Time} at=${group.first_at} />`], ["Last", html`<${Time} at=${group.last_at} />`]]} /></section>
        <section><h2>Newest jobs</h2><ul class="samples">${group.sample.map((job) => html`<li key=${job}><a href=${pageUrl(`jobs/${job}`)}><${JobId} id=${job} /></a></li>`)}</ul></section>`
      : loading ? html`<${Loading} />` : !error && html`<${Empty} title=${`No failed job of this group ended in the ${since}.`}><p>Its jobs were retried or deleted, or ended before. <a href=${pageUrl("jobs", { error_group: id })}>Look for jobs of any age</a></p><//>`}`;
}
