// The members of GET /jobs/{job_id} that the page of a job reads.
/** @typedef {{ type: string, text: string, traceback?: string | null }} FailureView */
/**
 * @typedef {Object} AttemptView
 * @property {number} run
 * @property {number} attempt
 * @property {number | null} worker
 * @property {string} started_at
 * @property {string} finished_at
 * @property {string | null} retry_at
 * @property {string} outcome
 * @property {FailureView | null} error
 * @property {Record<string, number | null>} took
 */
/** @typedef {{ at: string, status: string, run: number, attempt: number | null, worker: number | null }} StateView */
/** @typedef {{ run: number, at: string, input: unknown, input_omitted: boolean, undo: boolean, links: { input: string } }} RunView */
/**
 * @typedef {Object} JobView
 * @property {string} job_id
 * @property {string} status
 * @property {string} operation
 * @property {number} version
 * @property {string} queue
 * @property {number} priority
 * @property {string[]} tags
 * @property {string | null} concurrency_key
 * @property {string | null} submitted_by
 * @property {string} created_at
 * @property {string | null} run_at
 * @property {string | null} due_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {string | null} deadline
 * @property {number} run
 * @property {number} attempt
 * @property {number} max_attempts
 * @property {number | null} timeout_seconds
 * @property {number | null} keep_seconds
 * @property {{ key: string, while: string } | null} unique
 * @property {number | null} worker
 * @property {boolean} cancel_requested
 * @property {{ fraction: number | null, text: string | null } | null} progress
 * @property {boolean} input_removed
 * @property {boolean} input_omitted
 * @property {boolean} result_omitted
 * @property {FailureView | null} error
 * @property {AttemptView[]} attempts
 * @property {RunView[]} runs
 * @property {StateView[]} timeline
 * @property {Record<string, string>} links
 */
export {};
