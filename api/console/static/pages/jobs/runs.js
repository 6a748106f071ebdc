// The runs of a job: the inputs and the ends of two of them side by side.
import { html, useState } from "../../html.js";
import { request } from "../../client/api.js";
import { member } from "../../client/exact.js";
import { SideBySide, parsed } from "../../parts/json.js";
import { ErrorMessage } from "../../parts/message.js";
import { Time, word } from "../../parts/status.js";

/** @typedef {import("../../client/exact.js").Node} Node */
/** @typedef {import("#api").components["schemas"]["JobView"]} JobView */

/** How a run ended, as a value that can be compared. @param {JobView} job @param {Node | null} node @param {number} run */
function endOf(job, node, run) {
  if (run === job.run && job.status === "SUCCESS") return member(node ?? undefined, "result") ?? null;
  const attempts = node && member(node, "attempts");
  if (attempts?.kind !== "array") return null;
  const last = attempts.items.filter((item) => JSON.stringify(member(item, "run")) === JSON.stringify({ kind: "number", text: String(run) })).at(-1);
  return (last && (member(last, "error")?.kind === "object" ? member(last, "error") : member(last, "outcome"))) ?? null;
}

/** @param {{ job: JobView, node: Node | null }} props */
export function Runs({ job, node }) {
  const numbers = [0, ...job.runs.map(({ run }) => run)];
  const [left, setLeft] = useState(numbers.at(-2) ?? 0);
  const [right, setRight] = useState(job.run);
  const [inputs, setInputs] = useState(/** @type {Node[] | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const compare = async () => {
    try {
      const answers = await Promise.all([left, right].map((run) => request("GET", `/jobs/${job.job_id}/input`, { query: { run } })));
      setInputs(answers.map(({ text }) => member(parsed(text) ?? undefined, "input") ?? { kind: /** @type {const} */ ("literal"), text: "null" }));
      setError(null);
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
    }
  };
  /** @param {string} label @param {number} value @param {(run: number) => void} set */
  const choice = (label, value, set) => html`<label>${label} <select value=${String(value)} onChange=${(/** @type {any} */ event) => {
    set(Number(event.currentTarget.value));
    setInputs(null);
  }}>${numbers.map((run) => html`<option key=${run} value=${String(run)}>run ${run}</option>`)}</select></label>`;
  const titles = /** @type {[string, string]} */ ([`run ${left}`, `run ${right}`]);
  const ends = [endOf(job, node, left), endOf(job, node, right)];
  return html`<ul>${job.runs.map(({ run, at, undo }) => html`<li key=${run}>run ${run}: <${Time} at=${at} />${undo ? ", by the undo of a bulk action" : ""}${run === job.run ? `, ${word(job.status)}` : ""}</li>`)}</ul>
    <p class="bar">${choice("Compare", left, setLeft)} ${choice("with", right, setRight)} <button type="button" onClick=${compare}>Inputs and ends side by side</button></p>
    <${ErrorMessage} error=${error} />
    ${inputs?.[0] && inputs[1] && html`<h3>Input</h3><${SideBySide} before=${inputs[0]} after=${inputs[1]} titles=${titles} />
      ${ends[0] && ends[1] && html`<h3>Result or error</h3><${SideBySide} before=${ends[0]} after=${ends[1]} titles=${titles} />`}`}`;
}
