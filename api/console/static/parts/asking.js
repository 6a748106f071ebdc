// The question before an act, and what an act has done.
import { html, lazy } from "../html.js";
import { createStore, useStore } from "../client/store.js";

/**
 * @typedef {Object} Question
 * @property {string} title
 * @property {any} [text] what the act will do
 * @property {string} button the verb of the act
 * @property {boolean} [danger]
 * @property {() => Promise<string | void>} run the act; returns what to tell
 * @property {import("./commands.js").Description} [commands]
 */

export const asked = createStore(/** @type {Question | null} */ (null));
const NOTICE_MS = 6_000;
/** What the last act has done. */
export const notice = createStore("");
let timer = 0;

/**
 * Tell what an act has done.
 * @param {string} text
 */
export function tell(text) {
  clearTimeout(timer);
  notice.set(text);
  timer = setTimeout(() => notice.set(""), NOTICE_MS);
}

/**
 * Ask before an act.
 * @param {Question} question
 */
export function ask(question) {
  asked.set(question);
}

const Confirm = lazy(async () => (await import("./dialog.js")).Confirm);

/** The question that is asked now. */
export function Asked() {
  const question = useStore(asked);
  return question && html`<${Confirm} key=${question} question=${question} />`;
}

/** What the last act has done, for people and screen readers. */
export function Notice() {
  const text = useStore(notice);
  return html`<div class="notice" role="status" aria-live="polite" hidden=${text === ""}>${text}</div>`;
}
