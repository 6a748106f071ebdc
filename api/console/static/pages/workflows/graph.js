// The graph of a workflow as boxes in layers. A box of several jobs unfolds, ten at a time.
import { html, useEffect, useMemo, useState } from "../../html.js";
import { get } from "../../client/api.js";
import { count } from "../../client/format.js";
import { pageUrl } from "../../client/router.js";
import { ErrorMessage } from "../../parts/message.js";
import { Status, word } from "../../parts/status.js";
import { byOperation, fold, layout } from "./fold.js";

/** @typedef {import("./fold.js").Node} Node */
/** @typedef {import("#api").components["schemas"]["WorkflowView"]} Workflow */

const READ_JOBS = 1_000;
const PAGE = 200;
const DRAWN = 60;
const UNFOLDED = 10;
const [WIDTH, BETWEEN, GAP, HEAD, LINE] = [200, 56, 14, 56, 24];

/** Read all jobs of a workflow, again when it changed. Null: not yet, or it has too many. @param {Workflow} workflow */
function useJobs({ workflow_id: id, jobs: total, counts, graph }) {
  const [jobs, setJobs] = useState(/** @type {import("./fold.js").Job[] | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  useEffect(() => {
    if (total > READ_JOBS) return;
    const controller = new AbortController();
    const read = async () => {
      /** @type {import("./fold.js").Job[]} */
      const found = [];
      let cursor = /** @type {string | null} */ (null);
      do {
        /** @type {import("#api").components["schemas"]["WorkflowNodes"]} */
        const page = await get(`/workflows/${id}/jobs`, { query: { limit: PAGE, cursor }, signal: controller.signal });
        found.push(...page.jobs);
        cursor = page.next && new URL(page.next, location.origin).searchParams.get("cursor");
      } while (cursor && found.length < READ_JOBS);
      setJobs(found);
      setError(null);
    };
    read().catch((problem) => controller.signal.aborted || setError(problem));
    return () => controller.abort();
  }, [id, JSON.stringify([total, counts, graph?.operations])]);
  return { jobs, error };
}

/** @param {{ workflow: Workflow }} props */
export function Graph({ workflow }) {
  const { jobs, error } = useJobs(workflow);
  const [unfolded, setUnfolded] = useState(/** @type {Record<string, number>} */ ({}));
  const isLarge = workflow.jobs > READ_JOBS;
  const nodes = useMemo(() => (isLarge ? workflow.graph && byOperation(workflow.graph) : jobs && fold(jobs)), [jobs, isLarge && workflow.graph]);
  if (!nodes) return html`<${ErrorMessage} error=${error} />${isLarge && html`<p class="quiet">The workflow has too many jobs to be drawn. The list has them.</p>`}`;
  if (nodes.length > DRAWN) return html`<p class="quiet">The graph has ${count(nodes.length)} nodes, too many to be drawn. The list has its jobs.</p>`;
  /** @param {Node} node */
  const shown = (node) => Math.min(unfolded[node.id] ?? 0, node.jobs.length);
  /** @param {Node} node */
  const height = (node) => HEAD + (shown(node) + (shown(node) > 0 && shown(node) < node.jobs.length ? 1 : 0)) * LINE;
  const { tops, height: bottom, layers } = layout(nodes, height, GAP);
  /** @param {Node} node */
  const left = (node) => node.layer * (WIDTH + BETWEEN);
  /** @param {string} id */
  const top = (id) => tops.get(id) ?? 0;
  const size = { width: `${layers * (WIDTH + BETWEEN) - BETWEEN}px`, height: `${bottom}px` };
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return html`<${ErrorMessage} error=${error} />
    <div class="graph" tabindex="0" role="group" aria-label="Graph of the workflow"><div style=${size}>
      <svg style=${size} aria-hidden="true">${nodes.flatMap((node) => node.parents.map((id) => {
        const parent = /** @type {Node} */ (byId.get(id));
        const [x, y, toX, toY] = [left(parent) + WIDTH, top(id) + HEAD / 2, left(node), top(node.id) + HEAD / 2];
        return html`<path key=${`${id} ${node.id}`} d=${`M${x} ${y}C${x + BETWEEN / 2} ${y} ${toX - BETWEEN / 2} ${toY} ${toX} ${toY}`} />`;
      }))}</svg>
      <ol>${nodes.map((node) => html`<li key=${node.id} data-failed=${(node.states.FAILED ?? 0) > 0} style=${{ left: `${left(node)}px`, top: `${top(node.id)}px`, width: `${WIDTH}px`, height: `${height(node)}px` }}>
        <${Box} node=${node} after=${node.parents.map((id) => byId.get(id)?.operation).join(", ")} shown=${shown(node)} unfold=${(/** @type {number} */ jobs) => setUnfolded({ ...unfolded, [node.id]: jobs })} /></li>`)}</ol>
    </div></div>`;
}

/** @param {{ node: Node, after: string, shown: number, unfold: (jobs: number) => void }} props */
function Box({ node, after, shown, unfold }) {
  const { operation, jobs, states } = node;
  const only = node.count === 1 ? jobs[0] : undefined;
  const isOpen = shown > 0;
  return html`${only
    ? html`<a href=${pageUrl(`jobs/${only.job_id}`)}>${only.name === operation ? operation : `${only.name}`}</a><${Status} state=${only.status} title=${operation} />`
    : html`${jobs.length > 0 ? html`<button type="button" class="plain" aria-expanded=${String(isOpen)} onClick=${() => unfold(isOpen ? 0 : UNFOLDED)}>${operation} × ${count(node.count)}</button>` : html`<b>${operation} × ${count(node.count)}</b>`}
      <span class="quiet">${Object.entries(states).filter(([, jobs]) => jobs > 0).map(([state, jobs]) => `${count(jobs)} ${word(state)}`).join(" · ")}</span>`}
    ${after && html`<span class="hidden">after ${after}</span>`}
    ${isOpen && html`<ul>${jobs.slice(0, shown).map((job) => html`<li key=${job.job_id}><a href=${pageUrl(`jobs/${job.job_id}`)}>${job.name}</a> <${Status} state=${job.status} /></li>`)}
      ${shown < jobs.length && html`<li><button type="button" class="plain" onClick=${() => unfold(shown + UNFOLDED)}>${count(Math.min(UNFOLDED, jobs.length - shown))} more</button></li>`}</ul>`}`;
}
