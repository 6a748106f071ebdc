"""TLS of the API by the chart: the files that it reads, and what everything that calls it is told."""

import shutil
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, KUBERNETES, Object, environment, helm, refusal, render

from common.settings import Settings

pytestmark = pytest.mark.needs("helm")

TLS = "api.tls.existingSecret=jobs-api-tls"
CLIENTS = "api.tls.clientCa.existingSecret=jobs-clients"
URL = "https://jobproc-api.jobs.svc:8000"


def pod(name: str, *sets: str) -> Object:
    """Return the spec of a pod of a release."""
    spec: Object = dict(render("default", *sets).pods())[name]["spec"]
    return spec


def mounted(spec: Object) -> dict[str, list[str]]:
    """Return the keys of Secrets that a pod has as files below /etc/jobproc, by their Secret and place."""
    folders = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert not any("subPath" in mount for mount in folders.values()), "such a mount does not follow its Secret"
    return {
        f"{volume['secret']['secretName']} {folders[volume['name']]['mountPath']}": [
            f"{item['key']} {item['path']}" for item in volume["secret"]["items"]
        ]
        for volume in spec["volumes"]
        if "secret" in volume and folders[volume["name"]]["mountPath"].startswith("/etc/jobproc")
    }


def test_by_default_the_api_serves_http() -> None:
    release = render()
    (port,) = release.get("Service", "jobproc-api")["spec"]["ports"]
    assert (port["name"], port["appProtocol"], port["targetPort"]) == ("http", "http", "http")
    for name in ("jobproc-api", "jobproc-worker-default"):
        variables = environment(pod(name)["containers"][0])
        assert not {variable for variable in variables if "TLS" in variable or "CA_FILE" in variable}, name
        assert mounted(pod(name)) == {}


def test_the_api_reads_certificate_and_key_from_the_secret() -> None:
    spec = pod("jobproc-api", TLS)
    assert mounted(spec) == {"jobs-api-tls /etc/jobproc/tls": ["tls.crt tls.crt", "tls.key tls.key"]}
    variables = environment(spec["containers"][0])
    files = {name: value for name, value in variables.items() if "_TLS_" in name}
    assert files == {
        "JOBPROC_TLS_CERTIFICATE_FILE": "/etc/jobproc/tls/tls.crt",
        "JOBPROC_TLS_KEY_FILE": "/etc/jobproc/tls/tls.key",
    }
    assert Settings(
        tls_certificate_file=files["JOBPROC_TLS_CERTIFICATE_FILE"], tls_key_file=files["JOBPROC_TLS_KEY_FILE"]
    )


def test_ports_are_named_by_what_they_speak() -> None:
    release = render("default", TLS, "ingress.enabled=true", "ingress.hosts[0].host=jobs.example")
    (port,) = release.get("Service", "jobproc-api")["spec"]["ports"]
    assert (port["name"], port["port"], port["appProtocol"], port["targetPort"]) == ("https", 8000, "https", "https")
    names = [port["name"] for port in pod("jobproc-api", TLS)["containers"][0]["ports"]]
    assert names == ["https", "metrics"]
    (rule,) = release.get("Ingress", "jobproc-api")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"name": "https"}
    (clients, _) = release.get("NetworkPolicy", "jobproc-api")["spec"]["ingress"]
    assert clients["ports"] == [{"port": "https", "protocol": "TCP"}]


def test_probes_and_scrapes_stay_as_they_are() -> None:
    container = pod("jobproc-api", TLS)["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"].keys() == {"path", "port"}, "the scheme is HTTP"
        assert container[probe]["httpGet"]["port"] == "metrics"
    assert render("observed", TLS).all("PodMonitor") == render("observed").all("PodMonitor")
    assert render("observed", TLS).all("ServiceMonitor") == render("observed").all("ServiceMonitor")


@pytest.mark.parametrize("name", ["jobproc-worker-default", "jobproc-first-job"])
def test_workers_and_helm_test_call_a_name_of_the_service_and_see_the_authority_alone(name: str) -> None:
    spec = pod(name, TLS)
    assert mounted(spec) == {"jobs-api-tls /etc/jobproc/api-ca": ["ca.crt ca.crt"]}
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "api-ca"]
    assert volume["secret"]["optional"] is True, "a Secret of kubectl, or of a public authority, has no ca.crt"
    container = spec["containers"][0]
    assert environment(container)["JOBPROC_API_CA_FILE"] == "/etc/jobproc/api-ca/ca.crt"
    assert URL in (container.get("args", [""])[-1], environment(container).get("JOBPROC_API_URL"))
    allowed = environment(pod("jobproc-api", TLS)["containers"][0])["JOBPROC_ALLOWED_HOSTS"].split(",")
    assert "jobproc-api.jobs.svc" in allowed


def test_operations_may_call_another_url_by_another_authority() -> None:
    sets = ("settings.JOBPROC_API_URL=https://jobs.example", "settings.JOBPROC_API_CA_FILE=/ca/roots.pem")
    variables = environment(pod("jobproc-worker-default", TLS, *sets)["containers"][0])
    assert (variables["JOBPROC_API_URL"], variables["JOBPROC_API_CA_FILE"]) == ("https://jobs.example", "/ca/roots.pem")


@pytest.mark.parametrize("name", ["jobproc-controller", "jobproc-worker-default"])
def test_no_other_pod_has_the_key(name: str) -> None:
    assert "tls.key" not in str(pod(name, TLS, CLIENTS))
    (job,) = render("default", TLS, CLIENTS).all("Job")
    assert "jobs-api-tls" not in str(job)


def test_clients_need_a_certificate_of_the_named_authority() -> None:
    release = render("tls")
    spec = release.get("Deployment", "jobproc-api")["spec"]["template"]["spec"]
    assert mounted(spec)["jobs-clients /etc/jobproc/client-ca"] == ["roots.pem ca.crt"]
    assert environment(spec["containers"][0])["JOBPROC_TLS_CLIENT_CA_FILE"] == "/etc/jobproc/client-ca/ca.crt"
    assert release.all("Pod") == [], "helm test has no certificate"
    assert "need TLS: set api.tls.existingSecret" in refusal(CLIENTS)


@pytest.mark.parametrize("name", ["CERTIFICATE_FILE", "KEY_FILE", "CLIENT_CA_FILE"])
def test_the_files_have_no_second_place_in_the_values(name: str) -> None:
    assert f"additional properties 'JOBPROC_TLS_{name}' not allowed" in refusal(f"settings.JOBPROC_TLS_{name}=x")


@pytest.mark.parametrize(
    ("sets", "expected", "unexpected"),
    [
        ((), "curl -s http://127.0.0.1:8000/jobs/", "ca.crt"),
        ((TLS,), f"curl -s --cacert ca.crt --connect-to ::127.0.0.1:8000 {URL}/jobs/", "http://127"),
        ((TLS, CLIENTS), "add `--cert FILE --key FILE`", "`helm test"),
    ],
)
def test_the_notes_show_a_request_that_works(
    sets: tuple[str, ...], expected: str, unexpected: str, tmp_path: Path
) -> None:
    """Helm shows them after an install alone, so they are rendered as an object of a copy of the chart."""
    chart = shutil.copytree(CHART, tmp_path / "jobproc")
    (chart / "templates" / "notes.yaml").write_text('notes: {{ include "jobproc/templates/NOTES.txt" . | quote }}\n')
    options = [part for value in sets for part in ("--set", value)]
    version = ("--kube-version", KUBERNETES, "--namespace", "jobs", "--show-only", "templates/notes.yaml")
    shown = helm("template", "jobproc", str(chart), *version, *options)
    assert shown.returncode == 0, shown.stderr
    notes = yaml.safe_load(shown.stdout)["notes"]
    assert expected in notes
    assert unexpected not in notes


def test_the_certificate_of_the_documentation_has_the_name_that_the_chart_calls() -> None:
    text = (CHART.parents[1] / "docs" / "operate" / "tls.md").read_text()
    certificate, values = (yaml.safe_load(block.partition("```")[0]) for block in text.split("```yaml\n")[1:3])
    called = (
        environment(pod("jobproc-worker-default", TLS)["containers"][0])["JOBPROC_API_URL"]
        .removeprefix("https://")
        .removesuffix(":8000")
    )
    assert called.replace(".jobs.", ".jobproc.") in certificate["spec"]["dnsNames"]
    assert certificate["spec"]["secretName"] == values["api"]["tls"]["existingSecret"]
    assert set(values["api"]["allowedHosts"]) <= set(certificate["spec"]["dnsNames"])
