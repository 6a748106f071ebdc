// An empty system: three ways to send the first job.
import { html } from "../../html.js";
import * as commands from "../../client/commands.js";
import { Commands } from "../../parts/copy.js";
import { Empty } from "../../parts/message.js";

export function FirstJob() {
  const body = { operation: "square_sum", data: [1, 2, 3] };
  return html`<${Empty} title="There are no jobs yet. Send the first one:">
    <${Commands} commands=${{
      curl: { method: "POST", path: "/jobs/", body },
      cli: `submit square_sum ${commands.quoted('{"data": [1, 2, 3]}')} --wait`,
      python: 'print(client.submit("square_sum", {"data": [1, 2, 3]}).result(timeout=30))',
    }} />
  <//>`;
}
