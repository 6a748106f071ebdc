// The graph of a workflow: jobs of the same operation whose parents are the same make one node; layers from left to right.

/** @typedef {import("#api").components["schemas"]["WorkflowNode"]} Job */
/** @typedef {import("#api").components["schemas"]["WorkflowGraph"]} Graph */
/** @typedef {{ id: string, operation: string, count: number, states: Record<string, number>, jobs: Job[], parents: string[], layer: number }} Node */

/**
 * Return the nodes of the jobs of a workflow, in layers. A parent that is not among the jobs is left out.
 * @param {Job[]} jobs
 * @returns {Node[]}
 */
export function fold(jobs) {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  /** @type {Map<string, Node>} */
  const nodes = new Map();
  /** @type {Map<Job, Node | null>} null: it is being placed */
  const placed = new Map();
  /** @param {Job} job @returns {Node | null} */
  const place = (job) => {
    const before = placed.get(job);
    if (before !== undefined) return before;
    placed.set(job, null);
    const parents = [...new Set(job.depends_on.map((name) => byName.get(name)).map((parent) => (parent ? place(parent) : null)).filter((node) => node !== null))];
    const key = JSON.stringify([job.operation, ...parents.map(({ id }) => id).sort()]);
    const node = nodes.get(key) ?? { id: String(nodes.size), operation: job.operation, count: 0, states: {}, jobs: [], parents: parents.map(({ id }) => id), layer: Math.max(-1, ...parents.map(({ layer }) => layer)) + 1 };
    nodes.set(key, node);
    node.count += 1;
    node.jobs.push(job);
    node.states[job.status] = (node.states[job.status] ?? 0) + 1;
    placed.set(job, node);
    return node;
  };
  jobs.forEach(place);
  return [...nodes.values()];
}

/**
 * Return the nodes of a workflow that is too large to be read whole: one for each operation.
 * @param {Graph} graph
 * @returns {Node[]}
 */
export function byOperation({ operations, edges }) {
  const names = operations.map(({ operation }) => operation);
  const nodes = operations.map(({ operation, jobs, states }) => {
    // An operation that comes again later is not drawn before itself.
    const parents = edges.filter((edge) => edge.child === operation && names.indexOf(edge.parent) < names.indexOf(operation)).map((edge) => String(names.indexOf(edge.parent)));
    return { id: String(names.indexOf(operation)), operation, count: jobs, states, jobs: /** @type {Job[]} */ ([]), parents, layer: 0 };
  });
  for (const node of nodes) node.layer = Math.max(-1, ...node.parents.map((id) => nodes[Number(id)]?.layer ?? 0)) + 1;
  return nodes;
}

/**
 * Place nodes in the columns of their layers, near their parents. `heights`: of each node by its id.
 * @param {Node[]} nodes
 * @param {(node: Node) => number} height
 * @param {number} gap
 * @returns {{ tops: Map<string, number>, height: number, layers: number }}
 */
export function layout(nodes, height, gap) {
  /** @type {Map<string, number>} */
  const tops = new Map();
  const layers = Math.max(0, ...nodes.map(({ layer }) => layer)) + 1;
  let bottom = 0;
  for (let layer = 0; layer < layers; layer += 1) {
    const column = nodes.filter((node) => node.layer === layer);
    /** @param {Node} node */
    const middle = (node) => node.parents.reduce((sum, id) => sum + (tops.get(id) ?? 0), 0) / (node.parents.length || 1);
    column.sort((a, b) => middle(a) - middle(b));
    let top = 0;
    for (const node of column) {
      tops.set(node.id, top);
      top += height(node) + gap;
    }
    bottom = Math.max(bottom, top - gap);
  }
  return { tops, height: bottom, layers };
}
