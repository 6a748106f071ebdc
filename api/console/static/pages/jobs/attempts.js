// The attempts that have ended: when, how long, what they used, where, and their errors whole.
import { html } from "../../html.js";
import { duration, memory, secondsBetween } from "../../client/format.js";
import { Copy } from "../../parts/copy.js";
import { Time } from "../../parts/status.js";

/** @typedef {import("#api").components["schemas"]["AttemptView"]} AttemptView */

/** An error with its traceback, copied whole. @param {{ error: import("#api").components["schemas"]["FailureView"] }} props */
export function Failure({ error }) {
  const whole = `${error.type}: ${error.text}${error.traceback ? `\n\n${error.traceback}` : ""}`;
  return html`<div class="failure">
    <p><b>${error.type}</b> <${Copy} text=${whole} label="Copy the error" /></p>
    <pre tabindex="0">${error.text}</pre>
    ${error.traceback && html`<details><summary>Traceback</summary><pre tabindex="0">${error.traceback}</pre></details>`}
  </div>`;
}

/** @param {number | null | undefined} value @param {(value: number) => string} format */
function orNothing(value, format) {
  return value === null || value === undefined ? "" : format(value);
}

/** @param {{ job: import("#api").components["schemas"]["JobView"] }} props */
export function Attempts({ job }) {
  const several = job.runs.length > 0;
  return html`<div class="table-frame"><table>
    <caption class="hidden">Attempts</caption>
    <thead><tr>${several && html`<th scope="col">Run</th>`}<th scope="col">Attempt</th><th scope="col">Began</th><th scope="col" class="right">Took</th><th scope="col" class="right">CPU</th><th scope="col" class="right">Memory</th><th scope="col">Worker</th><th scope="col">Outcome</th><th scope="col">Error</th></tr></thead>
    <tbody>${job.attempts.map((attempt) => html`<tr key=${`${attempt.run}.${attempt.attempt}.${attempt.started_at}`}>
      ${several && html`<td>${attempt.run}</td>`}
      <td>${attempt.attempt}</td>
      <td><${Time} at=${attempt.started_at} /></td>
      <td class="right">${duration(secondsBetween(attempt.started_at, attempt.finished_at))}</td>
      <td class="right">${orNothing(attempt.took.cpu_seconds, duration)}</td>
      <td class="right">${orNothing(attempt.took.peak_memory_mebibytes, memory)}</td>
      <td>${attempt.worker ?? ""}</td>
      <td>${attempt.outcome}</td>
      <td>${attempt.error && html`<details><summary>${attempt.error.type}: ${attempt.error.text.split("\n")[0]?.slice(0, 100)}</summary><${Failure} error=${attempt.error} /></details>`}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
