// The lines that a job has logged and printed; those of a running job as they come.
import { html, useEffect, useState } from "../../html.js";
import { get } from "../../client/api.js";
import { absolute } from "../../client/format.js";
import { ErrorMessage } from "../../parts/message.js";
import { ENDED } from "../../parts/status.js";
import { useStream } from "../../client/streams.js";

/** @typedef {import("#api").components["schemas"]["LogLineView"]} Line */

const LIMIT = 200;
const SHOWN = 2_000;

/** @param {Line[]} before @param {Line[]} more */
function joined(before, more) {
  const known = new Set(before.map(({ attempt, line }) => `${attempt}.${line}`));
  return [...before, ...more.filter(({ attempt, line }) => !known.has(`${attempt}.${line}`))].slice(-SHOWN);
}

/** @param {{ job: import("#api").components["schemas"]["JobView"] }} props */
export function Log({ job }) {
  const [lines, setLines] = useState(/** @type {Line[]} */ ([]));
  const [next, setNext] = useState(/** @type {string | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const runs = job.status === "IN_PROGRESS";
  /** @param {string | null} path */
  const read = async (path) => {
    try {
      /** @type {{ lines: Line[], next: string | null }} */
      const page = await get(path ?? `/jobs/${job.job_id}/logs`, path ? {} : { query: { limit: LIMIT } });
      setLines((before) => joined(before, page.lines));
      setNext(page.next);
      setError(null);
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
  };
  useEffect(() => void read(null), [job.job_id, job.status, job.run]);
  useStream(runs ? `/jobs/${job.job_id}/logs` : null, { line: (line) => setLines((before) => joined(before, [line])) }, { follow: true });
  return html`<${ErrorMessage} error=${error} />
    ${lines.length === 0
      ? html`<p class="quiet">${ENDED.has(job.status) || runs ? "It has logged no line." : "It has not begun."} The log of the workers has its lines under <code>job_id=${job.job_id}</code>.</p>`
      : html`<ol class="log" tabindex="0" aria-label="Log">${lines.map((line) => html`<li key=${`${line.attempt}.${line.line}`} data-level=${line.level}>
          <time datetime=${line.at}>${absolute(line.at).slice(11)}</time> <span class="level">${line.level}</span> <span class="quiet">${line.logger}</span> ${line.message}
          ${line.exception && html`<pre>${line.exception}</pre>`}
        </li>`)}</ol>`}
    ${next && !runs && html`<button type="button" onClick=${() => void read(next)}>More lines</button>`}
    ${runs && html`<p class="quiet">Further lines come as they are logged.</p>`}`;
}
