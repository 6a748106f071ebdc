// Retry with another input. The input of before is kept with its run.
import { html, useEffect, useState } from "../../html.js";
import { request } from "../../client/api.js";
import * as commands from "../../client/commands.js";
import { member, pretty } from "../../client/exact.js";
import { Commands } from "../../parts/copy.js";
import { tell } from "../../parts/asking.js";
import { Dialog } from "../../parts/dialog.js";
import { parsed } from "../../parts/json.js";
import { ErrorMessage } from "../../parts/message.js";

/** @param {{ job: import("#api").components["schemas"]["JobView"], close: () => void, done: () => void }} props */
export function EditAndRetry({ job, close, done }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    request("GET", `/jobs/${job.job_id}/input`).then(
      (answer) => {
        const input = member(parsed(answer.text) ?? undefined, "input");
        setText(input ? pretty(input) : "");
      },
      (problem) => {
        setText("");
        setError(problem);
      },
    );
  }, []);
  const node = text === null ? null : parsed(text);
  // The text goes out as it is: no number changes on its way.
  const body = `{"input": ${text ?? ""}}`;
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await request("POST", `/jobs/${job.job_id}/retry`, { text: body });
      close();
      done();
      tell("The job waits for its next run, with the new input.");
    } catch (problem) {
      setError(/** @type {Error} */ (problem));
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${`Edit and retry ${job.operation}`} close=${close} wide>
    <form onSubmit=${submit}>
      <label>Input<textarea rows="14" spellcheck=${false} value=${text ?? ""} disabled=${text === null} aria-invalid=${String(text !== null && !node)} aria-describedby="edit-problem"
        onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}></textarea></label>
      <p id="edit-problem" class="problem" role="alert">${text !== null && text !== "" && !node ? "This is no JSON." : ""}</p>
      <${ErrorMessage} error=${error} />
      <footer><button type="button" onClick=${close}>Leave it</button><button type="submit" class="primary" disabled=${busy || !node}>Retry with this input</button></footer>
      <details><summary>As command</summary><${Commands} commands=${{
        curl: { method: "POST", path: `/jobs/${job.job_id}/retry`, text: body },
        cli: `retry ${job.job_id} --input ${commands.quoted(text ?? "")}`,
      }} /></details>
    </form>
  <//>`;
}
