// The pages: one line each. `nav` is its word in the navigation, `key` the key after `g`, `scope` what it reads with.
/**
 * @typedef {Object} Route
 * @property {string} path below /console; a part that begins with a colon stands for any text
 * @property {string} title
 * @property {string} [nav]
 * @property {string} [key]
 * @property {import("#api").components["schemas"]["Scope"]} [scope]
 * @property {() => Promise<{ Page: any }>} page
 */

/** @type {Route[]} */
export const routes = [
  { path: "", title: "Overview", nav: "Overview", key: "o", scope: "jobs:read", page: () => import("./pages/overview.js") },
  { path: "jobs", title: "Jobs", nav: "Jobs", key: "j", scope: "jobs:read", page: () => import("./pages/jobs/list.js") },
  { path: "jobs/:id", title: "Job", scope: "jobs:read", page: () => import("./pages/jobs/job.js") },
  { path: "errors", title: "Errors", nav: "Errors", key: "e", scope: "jobs:read", page: () => import("./pages/errors/list.js") },
  { path: "errors/:group", title: "Error group", scope: "jobs:read", page: () => import("./pages/errors/group.js") },
  { path: "workflows", title: "Workflows", nav: "Workflows", key: "w", scope: "jobs:read", page: () => import("./pages/workflows/list.js") },
  { path: "workflows/:id", title: "Workflow", scope: "jobs:read", page: () => import("./pages/workflows/workflow.js") },
  { path: "batches", title: "Batches", nav: "Batches", key: "h", scope: "jobs:read", page: () => import("./pages/batches/list.js") },
  { path: "batches/:id", title: "Batch", scope: "jobs:read", page: () => import("./pages/batches/batch.js") },
  { path: "queues", title: "Queues", nav: "Queues", key: "q", scope: "queues", page: () => import("./pages/queues/list.js") },
  { path: "queues/:name", title: "Queue", scope: "queues", page: () => import("./pages/queues/queue.js") },
  { path: "workers", title: "Workers", nav: "Workers", key: "r", scope: "queues", page: () => import("./pages/workers/list.js") },
  { path: "workers/:worker", title: "Worker", scope: "queues", page: () => import("./pages/workers/worker.js") },
  { path: "schedules", title: "Schedules", nav: "Schedules", key: "s", scope: "schedules", page: () => import("./pages/schedules/list.js") },
  { path: "schedules/:id", title: "Schedule", scope: "schedules", page: () => import("./pages/schedules/schedule.js") },
  { path: "operations", title: "Operations", nav: "Operations", key: "p", scope: "jobs:read", page: () => import("./pages/operations/list.js") },
  { path: "operations/:name", title: "Operation", scope: "jobs:read", page: () => import("./pages/operations/operation.js") },
  { path: "actions", title: "Bulk actions", nav: "Bulk actions", key: "b", scope: "bulk", page: () => import("./pages/bulk/list.js") },
  { path: "actions/:id", title: "Bulk action", scope: "bulk", page: () => import("./pages/bulk/action.js") },
  { path: "webhooks", title: "Webhooks", nav: "Webhooks", key: "k", scope: "webhooks", page: () => import("./pages/webhooks/list.js") },
  { path: "webhooks/:id", title: "Endpoint", scope: "webhooks", page: () => import("./pages/webhooks/endpoint.js") },
  { path: "keys", title: "API keys", nav: "Keys", key: "y", scope: "keys", page: () => import("./pages/access/keys.js") },
  { path: "audit", title: "Audit", nav: "Audit", key: "a", scope: "audit", page: () => import("./pages/access/audit.js") },
  { path: "health", title: "Health", nav: "Health", key: "l", scope: "admin", page: () => import("./pages/health.js") },
];

/**
 * Return the route of a path and the texts that its parts stand for, null if there is no page.
 * @param {string} path
 * @returns {{ route: Route, params: Record<string, string> } | null}
 */
export function match(path) {
  const parts = path.split("/");
  for (const route of routes) {
    const names = route.path.split("/");
    if (names.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = names.every((name, at) => {
      const part = parts[at] ?? "";
      if (!name.startsWith(":")) return name === part;
      params[name.slice(1)] = part;
      return part !== "";
    });
    if (fits) return { route, params };
  }
  return null;
}
