// The form of a schedule. The rest of its job is sent as it is stored: no number changes on its way.
import { html, useState } from "../../html.js";
import { absolute } from "../../client/format.js";
import { compact, member, pretty } from "../../client/exact.js";
import { useRead } from "../../client/live.js";
import { FormDialog } from "../../layouts/form.js";
import { parsed } from "../../parts/json.js";

/** @typedef {import("#api").components["schemas"]["ScheduleView"]} Schedule */
/** @typedef {import("../../layouts/form.js").Values} Values */

const OVERLAPS = ["allow", "skip", "queue", "cancel_old"];
const KINDS = ["cron", "every_seconds", "at"];

/** @param {string | null | undefined} at the time for an input of the browser's zone */
const local = (at) => (at ? absolute(at).slice(0, 19).replace(" ", "T") : "");
/** @param {string} text */
const instant = (text) => (text ? new Date(text).toISOString() : null);

/** @param {Values} values @returns {import("../../layouts/form.js").Field[]} */
const fieldsOf = ({ kind, operations, withJob }) => [
  { name: "name", label: "Name", required: true, hint: "letters, digits, . _ -" },
  { name: "kind", label: "Fires", kind: "choice", choices: KINDS },
  kind === "cron"
    ? { name: "cron", label: "Cron expression", required: true, hint: "minute hour day month weekday, or @daily" }
    : kind === "at" ? { name: "at", label: "At, in the browser's zone", kind: "time", required: true } : { name: "every_seconds", label: "Every, in seconds", kind: "number", required: true },
  ...(kind === "cron" ? [{ name: "time_zone", label: "Time zone", hint: "such as Europe/Berlin" }] : []),
  ...(withJob
    ? [
        operations.length > 0 ? { name: "operation", label: "Operation", kind: /** @type {const} */ ("choice"), choices: operations } : { name: "operation", label: "Operation", required: true },
        { name: "input", label: "Input", kind: /** @type {const} */ ("json") },
        { name: "tags", label: "Tags", hint: "nightly, vip" },
      ]
    : []),
  { name: "overlap", label: "While the last job has not ended", kind: "choice", choices: OVERLAPS },
  { name: "catch_up", label: "Missed instants that get a job", kind: "choice", choices: ["none", "last", "all"] },
  { name: "jitter_seconds", label: "Largest delay of an instant, in seconds", kind: "number" },
  { name: "starts_at", label: "Not before", kind: "time" },
  { name: "ends_at", label: "Not after", kind: "time" },
];

/**
 * Return a schedule as JSON. Throws Error if the input is no JSON.
 * @param {Values} values
 * @param {import("../../client/exact.js").Node | undefined} job as it is stored
 */
export function definition(values, job) {
  const { kind, withJob } = values;
  /** @type {Record<string, any>} */
  const body = {
    name: values.name,
    ...Object.fromEntries(KINDS.map((name) => [name, name !== kind ? null : kind === "at" ? instant(values.at) : kind === "cron" ? values.cron : Number(values.every_seconds)])),
    time_zone: (kind === "cron" && values.time_zone) || "UTC",
    overlap: values.overlap,
    catch_up: { ...values.stored_catch_up, policy: values.catch_up },
    jitter_seconds: Number(values.jitter_seconds),
    starts_at: instant(values.starts_at),
    ends_at: instant(values.ends_at),
  };
  const text = JSON.stringify(body);
  if (!withJob) return text;
  const input = parsed(values.input);
  if (!input) throw new Error("The input is no JSON.");
  const own = new Set(["operation", "input", "data", "tags"]);
  const rest = job?.kind === "object" ? job.entries.filter(([name]) => !own.has(name)) : [];
  const members = [["operation", JSON.stringify(values.operation)], ["input", compact(input)], ["tags", JSON.stringify(values.tags.split(/[\s,]+/).filter(Boolean))], ...rest.map(([name, node]) => [name, compact(node)])];
  return `${text.slice(0, -1)}, "job": {${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(", ")}}}`;
}

/** @param {{ schedule?: Schedule, text?: string, etag?: string, close: () => void, done: (schedule: Schedule) => void }} props `schedule`, `text`: the one that is changed, as it was read */
export function ScheduleForm({ schedule, text = "", etag = "", close, done }) {
  const operations = /** @type {{ operations: { name: string }[] } | null} */ (useRead("/operations", { follow: false }).data)?.operations.map(({ name }) => name) ?? [];
  const [stored] = useState(() => member(parsed(text) ?? undefined, "job"));
  const data = member(stored, "data");
  const input = member(stored, "input") ?? (data && { kind: /** @type {const} */ ("object"), entries: /** @type {[string, import("../../client/exact.js").Node][]} */ ([["data", data]]) });
  const [initial] = useState({
    name: schedule?.name ?? "",
    kind: KINDS.find((kind) => schedule?.[/** @type {"cron"} */ (kind)] != null) ?? "cron",
    cron: schedule?.cron ?? "0 3 * * *",
    every_seconds: schedule?.every_seconds ?? 3_600,
    at: local(schedule?.at),
    time_zone: schedule?.time_zone ?? "UTC",
    operation: schedule?.job.operation ?? "",
    // Who may not read inputs cannot send the job again: it stays as it is.
    withJob: !schedule || input !== undefined,
    input: input ? pretty(input) : "{}",
    tags: schedule?.job.tags?.join(", ") ?? "",
    overlap: schedule?.overlap ?? "allow",
    catch_up: schedule?.catch_up.policy ?? "last",
    stored_catch_up: schedule?.catch_up ?? {},
    jitter_seconds: schedule?.jitter_seconds ?? 0,
    starts_at: local(schedule?.starts_at),
    ends_at: local(schedule?.ends_at),
  });
  /** @param {Values} values */
  const whole = (values) => ({ ...values, operation: values.operation || operations[0] || "" });
  return html`<${FormDialog} title=${schedule ? `Change ${schedule.name}` : "New schedule"} initial=${initial} fields=${(/** @type {Values} */ values) => fieldsOf({ ...values, operations })}
    button=${schedule ? "Change" : "Create"} method=${schedule ? "PATCH" : "POST"} path=${`/schedules${schedule ? `/${schedule.id}` : ""}`} headers=${etag ? { "If-Match": etag } : {}}
    body=${(/** @type {Values} */ values) => definition(whole(values), stored)} close=${close} done=${done} />`;
}
