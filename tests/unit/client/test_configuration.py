"""The configuration of a client: arguments, the environment, profiles, and refusals that name the field."""

from pathlib import Path

import pytest

from jobproc.client.connection.configuration import config_file, configuration
from jobproc.client.errors import ConfigurationError

PROFILES = """
[profiles.default]
url = "https://one.example/jobs/"
api_key = "first"

[profiles.robot]
url = "https://two.example"
oidc_issuer = "https://op.example"
oidc_client_id = "robot"
oidc_client_secret = "secret"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "jobproc").mkdir()
    (tmp_path / "jobproc" / "config.toml").write_text(PROFILES)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_without_anything_the_api_of_this_machine_is_meant(tmp_path: Path) -> None:
    made = configuration({}, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert (made.url, made.api_key, made.timeout_s) == ("http://127.0.0.1:8000", "", 10.0)


@pytest.mark.skipif("sys.platform in ('win32', 'darwin')", reason="another folder")
def test_arguments_come_before_variables_and_these_before_the_profile(environment: dict[str, str]) -> None:
    assert configuration({}, environment).url == "https://one.example/jobs"
    environment["JOBPROC_URL"] = "http://variable"
    assert configuration({}, environment).url == "http://variable"
    assert configuration({}, environment).api_key == "first"
    assert configuration({"url": "http://argument", "api_key": None}, environment).url == "http://argument"
    del environment["JOBPROC_URL"]
    assert configuration({}, {**environment, "JOBPROC_PROFILE": "robot"}).oidc_client_id == "robot"
    assert configuration({"profile": "robot"}, environment).url == "https://two.example"
    assert configuration({"profile": "robot", "api_key": "mine"}, environment).oidc_issuer == ""


def test_the_folder_is_that_of_the_platform() -> None:
    assert config_file({"XDG_CONFIG_HOME": "/c"}, "linux") == Path("/c/jobproc/config.toml")
    assert config_file({"APPDATA": "/a"}, "win32") == Path("/a/jobproc/config.toml")
    assert config_file({}, "darwin").parts[-4:] == ("Library", "Application Support", "jobproc", "config.toml")
    assert config_file({"JOBPROC_CONFIG_FILE": "/x.toml"}, "linux") == Path("/x.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "api.example"}, "url: http://host or https://host/prefix is expected, not 'api.example'"),
        ({"url": "http://a/?b=1"}, "url:"),
        ({"ca_file": "/nowhere.crt"}, "ca_file: /nowhere.crt is not a file"),
        ({"oidc_issuer": "http://op"}, "oidc_client_id and oidc_client_secret"),
        ({"oidc_issuer": "http://op", "api_key": "k"}, "only one of them"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"profile": "other"}, "no profile 'other', but: default, robot"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_its_field(
    environment: dict[str, str], arguments: dict[str, str | float | None], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configuration({"api_key": None, **arguments}, {**environment, "JOBPROC_PROFILE": ""})
    assert message in str(caught.value)


def test_a_file_of_profiles_is_checked(environment: dict[str, str]) -> None:
    file = config_file(environment, "linux")
    file.write_text('[profiles.default]\nurll = "x"')
    with pytest.raises(ConfigurationError, match="unknown: urll"):
        configuration({}, environment)
    file.write_text("[")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        configuration({}, environment)
    with pytest.raises(ConfigurationError, match="does not exist"):
        configuration({"profile": "x"}, {"JOBPROC_CONFIG_FILE": str(file / "none")})
