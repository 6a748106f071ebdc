// Error groups: what is read of them, and the span of time.
import { html, useMemo } from "../../html.js";
import { serverNow } from "../../client/clock.js";
import { useRead } from "../../client/live.js";
import { usePlace } from "../../client/router.js";
import { Choice } from "../../layouts/list.js";

/** @typedef {import("#api").components["schemas"]["ErrorGroupView"]} ErrorGroup */
/** @typedef {import("#api").components["schemas"]["ErrorList"]} ErrorList */

const SPANS = /** @type {Record<string, [number, string]>} */ ({ "1h": [3_600, "last hour"], "24h": [86_400, "last 24 h"], "7d": [604_800, "last 7 days"], "30d": [2_592_000, "last 30 days"] });
const DEFAULT = "24h";

/** Read the error groups of the span in the URL. */
export function useGroups() {
  const { query } = usePlace();
  const since = query.get("since") ?? DEFAULT;
  const operation = query.get("operation");
  const filter = useMemo(() => ({ limit: 200, operation, finished_after: new Date(serverNow() - (SPANS[since] ?? [86_400])[0] * 1_000).toISOString() }), [since, operation]);
  const read = /** @type {import("../../client/live.js").Read<ErrorList>} */ (useRead("/errors", { query: filter, seconds: 15 }));
  return { read, since: SPANS[since]?.[1] ?? "" , filter };
}

/** The span of time. */
export function Span() {
  const texts = Object.fromEntries(Object.entries(SPANS).map(([name, [, text]]) => [name, text]));
  return html`<${Choice} name="since" label="Failed in" choices=${Object.keys(SPANS).filter((name) => name !== DEFAULT)} none=${texts[DEFAULT]} texts=${texts} />`;
}
