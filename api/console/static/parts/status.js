// A state as shape, word and colour; ages and times; ids.
import { html } from "../html.js";
import { absolute, age, shortId } from "../client/format.js";
import { useSecond } from "../client/ticking.js";

export const STATES = ["SCHEDULED", "BLOCKED", "PENDING", "IN_PROGRESS", "RETRYING", "SUCCESS", "FAILED", "CANCELLED"];
export const ENDED = new Set(["SUCCESS", "FAILED", "CANCELLED"]);
const SHAPES = /** @type {Record<string, string>} */ ({
  SCHEDULED: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2.5V8l2.5 1.5",
  BLOCKED: "M3 3h10v10H3z",
  PENDING: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z",
  IN_PROGRESS: "M4 2.5v11l9-5.5z",
  RETRYING: "M12.5 8A4.5 4.5 0 1 1 11 4.6M11 1.8v3H8",
  SUCCESS: "M2.5 8.5l3.5 4 7.5-9",
  FAILED: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  CANCELLED: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM4 12l8-8",
});

/**
 * Return the word for a state: in progress.
 * @param {string} state
 */
export function word(state) {
  return state.toLowerCase().replaceAll("_", " ");
}

/** @param {{ state: string, title?: string }} props */
export function Status({ state, title }) {
  return html`<span class="status" data-state=${state} title=${title}>
    <svg viewBox="0 0 16 16" aria-hidden="true"><path d=${SHAPES[state] ?? SHAPES.PENDING} /></svg>${word(state)}
  </span>`;
}

/** An age, with the time under the pointer. @param {{ at: string | null | undefined }} props */
export function Age({ at }) {
  useSecond();
  return at ? html`<time datetime=${at} title=${absolute(at)}>${age(at)}</time>` : null;
}

/** A time to the millisecond, with the age under the pointer. @param {{ at: string | null | undefined }} props */
export function Time({ at }) {
  return at ? html`<time datetime=${at} title=${age(at)}>${absolute(at)}</time>` : null;
}

/** The end of a job's id. @param {{ id: string }} props */
export function JobId({ id }) {
  return html`<code class="id" title=${id}>…${shortId(id)}</code>`;
}

/** The share of the work that is done. @param {{ progress: { fraction: number | null, text: string | null } | null | undefined }} props */
export function Progress({ progress }) {
  if (!progress) return null;
  const { fraction, text } = progress;
  return html`<span class="progress">
    ${fraction === null ? null : html`<progress max="1" value=${fraction} aria-label="progress"></progress> ${Math.floor(fraction * 100)} % `}${text}
  </span>`;
}
