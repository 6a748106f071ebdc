"""Queries of what others expose: KEDA, kube-state-metrics, postgres_exporter."""

from k8s.dashboards.queries import NAMESPACE, RATE

WORKERS = ".*-worker-.*"  # the chart's name of a pool's Deployment, and of its ScaledObject


def deployed(metric: str) -> str:
    """Return what kube-state-metrics says of the pools."""
    return f'max by (deployment) ({metric}{{{NAMESPACE},deployment=~"{WORKERS}"}})'


def limited(metric: str) -> str:
    """Return what kube-state-metrics says of the pools' HorizontalPodAutoscalers."""
    return f'max by (horizontalpodautoscaler) ({metric}{{{NAMESPACE},horizontalpodautoscaler=~"{WORKERS}"}})'


def keda(metric: str, aggregate: str = "max", by: str = "scaledObject, metric", *, window: bool = False) -> str:
    """Return what KEDA says of the pools.

    A scrape that does not honour labels has KEDA's own namespace in `namespace`, and the one of the ScaledObject beside it.
    """
    ranged = f"[{RATE}]" if window else ""

    def of(label: str) -> str:
        series = f'{metric}{{{label}=~"$namespace",scaledObject=~"{WORKERS}"}}{ranged}'
        return f"{aggregate} by ({by}) ({f'increase({series})' if window else series})"

    return f"{of('exported_namespace')} or {of('namespace')}"


def restarts(container: str) -> str:
    """Return how often the containers of a name began anew, from kube-state-metrics."""
    return f'sum by (pod) (increase(kube_pod_container_status_restarts_total{{{NAMESPACE},container=~"{container}"}}[{RATE}]))'


def out_of_memory(container: str) -> str:
    """Return the containers that last ended for want of memory, from kube-state-metrics."""
    of = f'{NAMESPACE},container=~"{container}",reason="OOMKilled"'
    return f"sum by (pod) (kube_pod_container_status_last_terminated_reason{{{of}}})"


def statements(metric: str) -> str:
    """Return what postgres_exporter says of pg_stat_statements, the ten highest; its namespace may be another one."""
    return f'topk(10, sum by (queryid) (rate({metric}{{datname!~"template.*"}}[{RATE}])))'
