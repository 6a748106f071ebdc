// Errors and empty places: a sentence, the fields, the request id, and what to do.
import { html, useEffect, useState } from "../html.js";
import { Problem, Unreachable } from "../client/api.js";
import { Copy } from "./copy.js";

/** @param {{ until: number, retry?: () => void }} props */
function Countdown({ until, retry }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [until]);
  const seconds = Math.ceil((until - now) / 1_000);
  return seconds > 0
    ? html`<p>The request may be repeated in ${seconds} s.</p>`
    : retry && html`<button type="button" onClick=${retry}>Try again</button>`;
}

/** An error as the API has told it. @param {{ error: Error | null, retry?: () => void }} props */
export function ErrorMessage({ error, retry }) {
  if (!error) return null;
  if (error instanceof Unreachable) return html`<div class="message error" role="alert"><p>The API did not answer. What you see is of before.</p></div>`;
  if (!(error instanceof Problem)) return html`<div class="message error" role="alert"><p>${error.message}</p></div>`;
  return html`<div class="message error" role="alert">
    <p><strong>${error.title}.</strong> ${error.message}</p>
    ${error.fields.length > 0 && html`<ul>${error.fields.map(({ field, reason }) => html`<li><code>${field || "body"}</code> ${reason}</li>`)}</ul>`}
    ${error.retryAt > 0 && html`<${Countdown} until=${error.retryAt} retry=${retry} />`}
    ${error.requestId && html`<p class="quiet">request <code>${error.requestId}</code> <${Copy} text=${error.requestId} label="Copy the request id" /></p>`}
  </div>`;
}

/** Nothing to show, and why. @param {{ title: string, children?: any }} props */
export function Empty({ title, children }) {
  return html`<div class="message empty"><p><strong>${title}</strong></p>${children}</div>`;
}

/** A scope that the caller lacks. @param {{ scope: string, what: string }} props */
export function NoPermission({ scope, what }) {
  return html`<${Empty} title="You may not see this."><p>${what} needs the scope <code>${scope}</code>. Who gives out API keys can give it.</p><//>`;
}
