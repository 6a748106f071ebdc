// The states of a job on a line of time, and how long it was in each kind of them.
import { html } from "../../html.js";
import { serverNow } from "../../client/clock.js";
import { absolute, duration } from "../../client/format.js";
import { useSecond } from "../../client/ticking.js";
import { ENDED, word } from "../../parts/status.js";

const KINDS = /** @type {Record<string, string>} */ ({ SCHEDULED: "scheduled", BLOCKED: "blocked", PENDING: "queued", IN_PROGRESS: "running", RETRYING: "paused" });
const MIN_SHARE = 0.02;

/** @typedef {{ kind: string, label: string, from: number, to: number, open: boolean, end: string }} Segment */

/**
 * Return the times between the states of a job.
 * @param {import("#api").components["schemas"]["StateView"][]} states
 * @param {number} now milliseconds since 1970
 * @returns {Segment[]}
 */
export function segments(states, now) {
  /** @type {Segment[]} */
  const found = [];
  states.forEach((state, at) => {
    const kind = KINDS[state.status];
    if (!kind) return;
    const next = states[at + 1];
    const from = Date.parse(state.at);
    const to = next ? Date.parse(next.at) : Math.max(now, from);
    const label = kind === "running" ? `attempt ${state.attempt ?? ""}` : kind;
    found.push({ kind, label, from, to, open: !next, end: next && ENDED.has(next.status) ? word(next.status) : "" });
  });
  return found;
}

/** @param {{ job: import("#api").components["schemas"]["JobView"] }} props */
export function Timeline({ job }) {
  useSecond();
  const parts = segments(job.timeline, serverNow());
  const whole = parts.reduce((sum, { from, to }) => sum + to - from, 0) || 1;
  /** @type {Map<string, number>} */
  const totals = new Map(["scheduled", "queued", "paused", "running"].map((kind) => [kind, 0]));
  for (const { kind, from, to } of parts) totals.set(kind, (totals.get(kind) ?? 0) + to - from);
  return html`<ol class="timeline">${parts.map(({ kind, label, from, to, open, end }) => html`<li key=${`${from}${kind}`} data-kind=${kind} data-end=${end}
      style=${{ flexGrow: Math.max((to - from) / whole, MIN_SHARE) }} title=${`${label}: from ${absolute(new Date(from).toISOString())}${open ? " until now" : ` to ${absolute(new Date(to).toISOString())}`}`}>
      <span>${label}</span> <b>${duration((to - from) / 1_000)}</b>${open ? " so far" : ""}${end && html` <i>${end}</i>`}
    </li>`)}</ol>
    <p class="quiet">${[...totals].map(([kind, ms]) => `${kind} ${duration(ms / 1_000)}`).join(" · ")}</p>`;
}
