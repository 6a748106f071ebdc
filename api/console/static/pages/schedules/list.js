// Schedules, by name.
import { html, useState } from "../../html.js";
import { duration } from "../../client/format.js";
import { go, pageUrl, usePlace } from "../../client/router.js";
import { Act } from "../../layouts/detail.js";
import { Choice, Heading, List } from "../../layouts/list.js";
import { useKeys } from "../../parts/keyboard.js";
import { Empty } from "../../parts/message.js";
import { Age, JobId, Time, word } from "../../parts/status.js";
import { ScheduleForm } from "./form.js";

/** @typedef {import("#api").components["schemas"]["ScheduleSummary"]} Schedule */

/** When a schedule fires. @param {{ schedule: Schedule }} props */
export function Timing({ schedule: { cron, every_seconds: every, at, time_zone: zone } }) {
  return cron ? html`<code>${cron}</code> ${zone}` : every !== null ? html`every ${duration(every)}` : html`once, <${Time} at=${at} />`;
}

const COLUMNS = /** @type {import("../../parts/table.js").Column<Schedule>[]} */ ([
  { key: "name", title: "Schedule", link: true, cell: (schedule) => schedule.name },
  { key: "state", title: "State", cell: (schedule) => html`<b class=${schedule.paused ? "paused" : ""}>${word(schedule.state)}</b>${schedule.managed ? " · by a file" : ""}` },
  { key: "timing", title: "Fires", cell: (schedule) => html`<${Timing} schedule=${schedule} />` },
  { key: "operation", title: "Operation", cell: (schedule) => schedule.job.operation },
  { key: "next", title: "Next", right: true, cell: (schedule) => !schedule.paused && html`<${Age} at=${schedule.next_at} />` },
  { key: "last", title: "Last job", cell: (schedule) => schedule.last_job_id && html`<a href=${pageUrl(`jobs/${schedule.last_job_id}`)}><${JobId} id=${schedule.last_job_id} /></a>` },
]);

export function Page() {
  const { query } = usePlace();
  const [making, setMaking] = useState(false);
  const filter = { paused: query.get("paused"), operation: query.get("operation") };
  useKeys({ "+": { text: "new schedule", run: () => setMaking(true) } });
  return html`<${Heading} title="Schedules" commands=${{ curl: { method: "GET", path: "/schedules", query: filter }, cli: "schedules list", python: "for schedule in client.schedules.list():\n    print(schedule.name, schedule.next_at)" }}>
      <${Choice} name="paused" label="State" choices=${["true", "false"]} texts=${{ true: "paused", false: "not paused" }} /><${Act} scope="schedules" kind="primary" run=${() => setMaking(true)}>New schedule<//><//>
    <${List} caption="Schedules" path="/schedules" member="schedules" cursor="after" query=${filter} columns=${COLUMNS} id=${(/** @type {Schedule} */ row) => row.id}
      href=${(/** @type {Schedule} */ row) => pageUrl(`schedules/${row.id}`)} empty=${html`<${Empty} title="There is no schedule yet."><p>A schedule submits a job at each of its times.</p><//>`} />
    ${making && html`<${ScheduleForm} close=${() => setMaking(false)} done=${(/** @type {Schedule} */ made) => go(pageUrl(`schedules/${made.id}`))} />`}`;
}
