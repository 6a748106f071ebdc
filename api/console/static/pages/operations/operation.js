// An operation: its form, its schemas, its defaults, and what its jobs have used of late.
import { html, useMemo } from "../../html.js";
import { duration, memory, plural } from "../../client/format.js";
import { useRead } from "../../client/live.js";
import { pageUrl, usePlace } from "../../client/router.js";
import { may, session } from "../../client/session.js";
import { AsCommand } from "../../parts/copy.js";
import { Json, parsed } from "../../parts/json.js";
import { Empty, ErrorMessage } from "../../parts/message.js";
import { Age } from "../../parts/status.js";
import { SubmitForm } from "./form.js";

/** @typedef {import("./list.js").Operation} Operation */

/** @param {{ title: string, values: import("./list.js").Percentiles | null, format: (value: number) => string }} props */
function Used({ title, values, format }) {
  return values && html`<tr><th scope="row">${title}</th><td class="right">${format(values.p50)}</td><td class="right">${format(values.p95)}</td><td class="right">${format(values.p99)}</td></tr>`;
}

/** @param {{ title: string, schema: unknown }} props */
function Schema({ title, schema }) {
  const node = useMemo(() => parsed(JSON.stringify(schema)), [schema]);
  return node && html`<details><summary>${title}</summary><${Json} node=${node} label=${title} /></details>`;
}

/** @param {{ params: { name: string } }} props */
export function Page({ params }) {
  const name = decodeURIComponent(params.name);
  const { query } = usePlace();
  const { data, error, refresh, loading } = useRead("/operations", { seconds: 30 });
  const operation = /** @type {{ operations: Operation[] } | null} */ (data)?.operations.find((item) => item.name === name);
  if (!operation) {
    return html`<h1>${name}</h1><${ErrorMessage} error=${error} retry=${refresh} />
      ${!loading && !error && html`<${Empty} title="No worker knows this operation."><p><a href=${pageUrl("operations")}>All operations</a></p><//>`}`;
  }
  const { recent, defaults } = operation;
  const canSubmit = may("jobs:write");
  return html`<div class="heading"><h1>${name}</h1><span class="quiet">version ${operation.version}</span><span class="grow"></span>
      <a class="button" href=${pageUrl("jobs", { operation: name })}>Jobs</a>
      <${AsCommand} commands=${{ curl: { method: "GET", path: "/operations" }, cli: `operations get ${name}` }} /></div>
    <p>${operation.description}</p>
    ${operation.workers_alive === 0 && html`<p class="problem">No worker process serves ${operation.queue} with this version now: jobs wait.</p>`}
    <section><h2>Submit</h2>
      ${!canSubmit
        ? html`<p class="quiet">To submit needs the scope <code>jobs:write</code>.</p>`
        : session.get().caller?.may_submit === false
          ? html`<p class="quiet">The tenant is draining: it submits nothing.</p>`
          : html`<${SubmitForm} key=${`${name} ${query.get("copy")}`} operation=${operation} copy=${query.get("copy")} />`}
    </section>
    <section><h2>Facts</h2><dl class="facts">
      <dt>Queue</dt><dd><a href=${pageUrl(`queues/${encodeURIComponent(operation.queue)}`)}>${operation.queue}</a>${operation.queues.length > 1 && ` or ${operation.queues.filter((queue) => queue !== operation.queue).join(", ")}`}</dd>
      <dt>Versions</dt><dd>${operation.oldest_version === operation.version ? operation.version : `${operation.oldest_version} to ${operation.version}`}</dd>
      <dt>Workers</dt><dd>${plural(operation.workers_alive, "process", "processes")}, last known <${Age} at=${operation.seen_at} /> ago, to within ten minutes</dd>
      <dt>Attempts</dt><dd>${defaults.max_attempts}</dd>
      <dt>Time limit</dt><dd>${defaults.timeout_seconds === null ? "none" : `${duration(defaults.timeout_seconds)} an attempt`}</dd>
    </dl>
    ${recent && html`<h3>The newest ${plural(recent.jobs, "job")}</h3><table class="narrow"><caption class="hidden">Use</caption><thead><tr><td></td><th scope="col" class="right">half</th><th scope="col" class="right">95 %</th><th scope="col" class="right">99 %</th></tr></thead><tbody>
      <${Used} title="Time" values=${recent.execution_seconds} format=${duration} />
      <${Used} title="CPU" values=${recent.cpu_seconds} format=${duration} />
      <${Used} title="Memory" values=${recent.peak_memory_mebibytes} format=${memory} /></tbody></table>`}
    <${Schema} title="Schema of the input" schema=${operation.input_schema} />
    <${Schema} title="Schema of the result" schema=${operation.output_schema} />
    </section>`;
}
