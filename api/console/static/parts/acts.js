// Acts on jobs: cancel, retry, edit and retry. Each asks first, and says what it will do.
import { html } from "../html.js";
import { Problem, post } from "../client/api.js";
import * as commands from "../client/commands.js";
import { plural } from "../client/format.js";
import { may, session } from "../client/session.js";
import { ask } from "./asking.js";
import { word } from "./status.js";

/** @typedef {{ job_id: string, status: string, operation: string, cancel_requested?: boolean }} Job */

const RETRYABLE = new Set(["FAILED", "CANCELLED"]);
const ENDED = new Set(["SUCCESS", "FAILED", "CANCELLED"]);
const TOLD_FAILURES = 5;

/** @param {Job} job */
export function canRetry(job) {
  return RETRYABLE.has(job.status) && may("jobs:write") && session.get().caller?.may_submit !== false;
}

/** @param {Job} job */
export function canCancel(job) {
  return !ENDED.has(job.status) && !job.cancel_requested && may("jobs:cancel");
}

/**
 * Return an act on a job as commands.
 * @param {"cancel" | "retry"} verb
 * @param {string} id
 * @returns {import("./copy.js").Description}
 */
export function commandsOf(verb, id) {
  return {
    curl: { method: "POST", path: `/jobs/${id}/${verb}` },
    cli: `${verb} ${id}`,
    python: `client.job(${JSON.stringify(id)}).${verb}()`,
  };
}

/** @param {Job} job @param {() => void} done */
export function askRetry(job, done) {
  ask({
    title: `Retry ${job.operation}`,
    text: html`<p>The job runs once more under its id, with its last input. It is ${word(job.status)} now. <strong>A job that has begun again cannot be taken back.</strong></p>`,
    button: "Retry",
    commands: commandsOf("retry", job.job_id),
    run: async () => {
      await post(`/jobs/${job.job_id}/retry`);
      done();
      return "The job waits for its next run.";
    },
  });
}

/** @param {Job} job @param {() => void} done */
export function askCancel(job, done) {
  const runs = job.status === "IN_PROGRESS";
  ask({
    title: `Cancel ${job.operation}`,
    text: html`<p>${runs ? "The job runs: it is asked to stop, and ends cancelled." : "The job has not begun: it ends cancelled at once."} A retry runs it later.</p>`,
    button: "Cancel the job",
    danger: true,
    commands: commandsOf("cancel", job.job_id),
    run: async () => {
      /** @type {{ status: string, cancel_requested: boolean }} */
      const answer = await post(`/jobs/${job.job_id}/cancel`);
      done();
      if (answer.status === "CANCELLED") return "The job is cancelled.";
      return answer.cancel_requested ? "The job was asked to stop." : `The job had ended before: ${word(answer.status)}.`;
    },
  });
}

/**
 * Ask before an act on some jobs, then do it one after the other.
 * @param {"cancel" | "retry"} verb
 * @param {Job[]} jobs
 * @param {() => void} done
 */
export function askMany(verb, jobs, done) {
  const fitting = jobs.filter(verb === "cancel" ? canCancel : canRetry);
  const others = jobs.length - fitting.length;
  const ids = fitting.map((job) => job.job_id);
  ask({
    title: `${verb === "cancel" ? "Cancel" : "Retry"} ${plural(fitting.length, "job")}`,
    text: html`<p>${plural(fitting.length, "selected job")} ${verb === "cancel" ? "will be cancelled" : "will run once more"}.
      ${others > 0 && ` ${plural(others, "other")} will be left alone: ${verb === "cancel" ? "ended already" : "neither failed nor cancelled"}.`}</p>`,
    button: verb === "cancel" ? `Cancel ${plural(fitting.length, "job")}` : `Retry ${plural(fitting.length, "job")}`,
    danger: verb === "cancel",
    commands: {
      curl: ids.map((id) => ({ method: "POST", path: `/jobs/${id}/${verb}` })),
      cli: `${verb} ${ids.join(" ")}`,
      python: `for job_id in ${commands.python(ids)}:\n    client.${verb}(job_id)`,
    },
    run: async () => {
      /** @type {string[]} */
      const failures = [];
      for (const job of fitting) {
        try {
          await post(`/jobs/${job.job_id}/${verb}`);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          failures.push(`…${job.job_id.slice(-12)}: ${error.message}`);
        }
      }
      done();
      if (failures.length > 0) {
        throw new Error(`${plural(fitting.length - failures.length, "job")} done, ${failures.length} not. ${failures.slice(0, TOLD_FAILURES).join(" ")}`);
      }
      return `${plural(fitting.length, "job")} ${verb === "cancel" ? "cancelled or asked to stop" : "will run again"}.`;
    },
  });
}

/** The act that fits the state of a job. @param {{ job: Job, done: () => void }} props */
export function RowActs({ job, done }) {
  if (canRetry(job)) return html`<button type="button" class="plain" aria-label=${`Retry …${job.job_id.slice(-12)}`} title="Retry" onClick=${() => askRetry(job, done)}>↻</button>`;
  if (canCancel(job)) return html`<button type="button" class="plain" aria-label=${`Cancel …${job.job_id.slice(-12)}`} title="Cancel" onClick=${() => askCancel(job, done)}>✕</button>`;
  return null;
}
