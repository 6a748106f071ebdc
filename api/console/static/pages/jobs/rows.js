// The rows of a list of jobs: they stay where they are, change in place, and newer ones wait until they are asked for.
import { useCallback, useEffect, useRef, useState } from "../../html.js";
import { request } from "../../client/api.js";
import { isStill, useInterval, useLoad } from "../../client/live.js";
import { useStream } from "../../client/streams.js";

/**
 * A job of the list; `progress` where the API tells it, `gone` if it matches the filters no longer.
 * @typedef {import("#api").components["schemas"]["JobSummaryView"] & { progress?: import("#api").components["schemas"]["ProgressView"] | null, gone?: boolean }} JobRow
 */
/** @typedef {import("#api").components["schemas"]["JobList"]} JobList */
/** @typedef {{ key: string, rows: JobRow[], next: string | null, scanned: number, total: number | null, newer: number, newerIsMore: boolean, base: number, error: Error | null }} Shown */
/** @typedef {Record<string, string>} Query */

const NEWER_LIMIT = 100;
const READ_STATES = 20;
const FLUSH_MS = 250;
const MAX_WAITING = 500;
const ENDED = new Set(["SUCCESS", "FAILED", "CANCELLED"]);
/** @type {Shown} */
const NOTHING = { key: "", rows: [], next: null, scanned: 0, total: null, newer: 0, newerIsMore: false, base: 0, error: null };

/**
 * Return the rows of before with what has changed; one that is as before stays the same object, so it is not drawn.
 * @param {JobRow[]} before
 * @param {JobRow[]} read
 * @returns {JobRow[]}
 */
export function merged(before, read) {
  const byId = new Map(read.map((row) => [row.job_id, row]));
  return before.map((row) => {
    const next = byId.get(row.job_id) ?? { ...row, gone: true };
    return JSON.stringify(next) === JSON.stringify(row) ? row : next;
  });
}

/**
 * Return the rows of before with those that have changed.
 * @param {JobRow[]} before
 * @param {JobRow[]} read
 * @param {Query} filters
 * @returns {JobRow[]}
 */
function changed(before, read, filters) {
  const byId = new Map(read.map((row) => [row.job_id, row]));
  const states = filters.status?.split(",") ?? null;
  return before.map((row) => {
    const found = byId.get(row.job_id);
    if (!found) return row;
    const next = states && !states.includes(found.status) ? { ...found, gone: true } : found;
    return JSON.stringify(next) === JSON.stringify(row) ? row : next;
  });
}

/**
 * Return the rows with the states of those that match no longer, a few at a time: the list does not have them.
 * @param {JobRow[]} rows
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<JobRow[]>}
 */
async function withStates(rows, signal) {
  const left = rows.filter((row) => row.gone && !ENDED.has(row.status)).slice(0, READ_STATES);
  const states = new Map(await Promise.all(left.map(async (row) => /** @type {[string, JobRow["status"]]} */ ([row.job_id, (await request("GET", `/jobs/${row.job_id}/status`, signal ? { signal } : {})).data.status]))));
  return states.size === 0 ? rows : rows.map((row) => (states.has(row.job_id) && states.get(row.job_id) !== row.status ? { ...row, status: states.get(row.job_id) ?? row.status } : row));
}

/**
 * Return the time after that of a row, as the filter `created_before` takes it: ids have milliseconds.
 * @param {JobRow} row
 */
function justAfter(row) {
  return new Date(Math.floor(Date.parse(row.created_at)) + 1).toISOString();
}

/**
 * Read a page of jobs, and follow it.
 * @param {Query} filters
 * @param {Query} options `sort`, `limit` and `cursor`
 */
export function useRows(filters, options) {
  const key = JSON.stringify([filters, options]);
  const [shown, setShown] = useState(NOTHING);
  const latest = useRef(shown);
  latest.current = shown;
  const isNewestFirst = !options.sort && !options.cursor;

  const { refresh: replace, slow, controller } = useLoad(key, async (signal) => {
    try {
      /** @type {{ data: JobList }} */
      const { data } = await request("GET", "/jobs", { query: { ...filters, ...options }, signal });
      setShown({ ...NOTHING, key, rows: data.jobs, next: data.next, scanned: data.scanned, total: data.estimated_total });
    } catch (error) {
      if (!signal.aborted) setShown((before) => ({ ...before, key, error: /** @type {Error} */ (error) }));
    }
  });

  const follow = useCallback(async () => {
    const before = latest.current;
    const first = before.rows[0];
    if (before.key !== key || before.error || !first) {
      await replace();
      return;
    }
    const signal = controller.current?.signal;
    try {
      // The page as it is shown, and how many came after it: two bounded reads, whatever came meanwhile.
      const until = isNewestFirst && !filters.created_before ? { created_before: justAfter(first) } : {};
      /** @type {{ data: JobList }} */
      const { data } = await request("GET", "/jobs", { query: { ...filters, ...options, ...until }, ...(signal && { signal }) });
      const rows = await withStates(merged(latest.current.rows, data.jobs), signal);
      let newer = 0;
      let isMore = false;
      if (isNewestFirst && !filters.created_before) {
        const after = await request("GET", "/jobs", { query: { ...filters, created_after: justAfter(first), limit: NEWER_LIMIT }, ...(signal && { signal }) });
        newer = after.data.jobs.length;
        isMore = after.data.next !== null;
      }
      setShown((now) => (now.key === key ? { ...now, rows, newer, newerIsMore: isMore } : now));
    } catch (error) {
      // The bar says that the API is away; another error is told by the next read.
      if (!signal?.aborted) console.debug(error);
    }
  }, [key, replace]);

  /** What was pushed while nothing may be changed: it is shown afterwards. */
  const waiting = useRef(/** @type {((before: Shown) => Shown)[]} */ ([]));
  const flush = () => {
    if (isStill() || waiting.current.length === 0) return;
    const changes = waiting.current.splice(0);
    if (changes.length > MAX_WAITING) void follow();
    else setShown((before) => (before.key === key ? changes.reduce((now, next) => next(now), before) : before));
  };
  useEffect(() => {
    const timer = setInterval(flush, FLUSH_MS);
    return () => clearInterval(timer);
  }, [key]);
  /** @param {(before: Shown) => Shown} next */
  const change = (next) => {
    if (waiting.current.length <= MAX_WAITING) waiting.current.push(next);
    flush();
  };
  const state = useStream(shown.key === key && !shown.error ? "/jobs/events" : null, {
    page: (/** @type {JobList} */ page) => change((before) => ({ ...before, rows: changed(before.rows, page.jobs, filters), base: page.jobs.filter(({ job_id: id }) => !before.rows.some((row) => row.job_id === id)).length })),
    jobs: (/** @type {{ jobs: JobRow[], removed: string[] }} */ event) => change((before) => ({ ...before, rows: changed(before.rows, event.jobs, filters).map((row) => (event.removed.includes(row.job_id) ? { ...row, gone: true } : row)) })),
    newer: (/** @type {{ count: number, more: boolean }} */ event) => change((before) => ({ ...before, newer: isNewestFirst ? event.count + before.base : 0, newerIsMore: event.more })),
  }, { ...filters, ...options });
  useInterval(() => {
    if (state !== "open" || shown.rows.length === 0) void follow();
  });
  const loading = shown.key !== key;
  return { shown, loading, slow: loading && slow, replace, follow };
}
