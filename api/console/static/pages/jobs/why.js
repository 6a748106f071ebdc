// Why a job does not run, by the conditions of the scheduler, and when it may begin; or why it failed.
import { html } from "../../html.js";
import { clock, plural } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl } from "../../client/router.js";
import { ErrorMessage } from "../../parts/message.js";
import { ENDED, Time } from "../../parts/status.js";
import { Failure } from "./attempts.js";

/** @typedef {import("#api").components["schemas"]["Explanation"]} Explanation */

/** @param {{ job: import("#api").components["schemas"]["JobView"] }} props */
export function Why({ job }) {
  const ended = ENDED.has(job.status);
  const waits = !ended && job.status !== "IN_PROGRESS";
  const { data, error } = useRead(waits ? `/jobs/${job.job_id}/explain` : null, { seconds: 2 });
  const explanation = /** @type {Explanation | null} */ (data);
  if (job.status === "FAILED" && job.error) {
    const runs = new Set(job.attempts.map(({ run }) => run)).size;
    return html`<section class="why failed" id="error" aria-label="Why it failed">
      <h2>Why it failed</h2>
      <${Failure} error=${job.error} />
      <p class="quiet">${plural(job.attempts.filter(({ outcome }) => outcome !== "released").length, "attempt")}${runs > 1 ? ` in ${runs} runs` : ""} · <a href=${pageUrl("jobs", { status: "FAILED", operation: job.operation, error: job.error.type })}>jobs that failed alike</a></p>
    </section>`;
  }
  if (!waits) return null;
  return html`<section class="why" aria-label="Why it is not running">
    <h2>Why it is not running</h2>
    <${ErrorMessage} error=${error} />
    ${explanation && html`<ul>${explanation.reasons.map(({ code, text, until }) => html`<li key=${code}>${text}${until && html` Until <${Time} at=${until} />.`}</li>`)}</ul>
      ${explanation.position && html`<p>${explanation.position.exact ? "" : "At least "}${plural(explanation.position.ahead, "job")} before it.</p>`}
      ${explanation.expected_start && html`<p>Expected to begin between <b>${clock(explanation.expected_start.earliest)}</b> and <b>${clock(explanation.expected_start.latest)}</b>.</p>`}`}
  </section>`;
}
