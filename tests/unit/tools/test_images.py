"""The check for images without a digest."""

import sys

import pytest

from tools import ROOT, images

DIGEST = f"@sha256:{1:064}"


@pytest.mark.parametrize(
    ("image", "is_error"),
    [
        ("python:3.13-slim", False),
        ("registry:5000/python:3.13", False),
        ("registry:5000/python", True),
        ("python", True),
        ("python:latest", True),
    ],
)
def test_an_image_without_a_digest_gets_a_sentence(image: str, is_error: bool) -> None:
    found = images.problem(image)
    assert found is not None
    assert found[0] is is_error
    assert found[1].startswith(f"{image} ")


@pytest.mark.parametrize("image", [f"python{DIGEST}", f"registry:5000/python:3.13{DIGEST}"])
def test_an_image_with_a_digest_gets_none(image: str) -> None:
    assert images.problem(image) is None


def test_it_finds_the_images_of_dockerfiles_compose_and_charts() -> None:
    found = set(images.images(ROOT))
    assert {name for name, _ in found} == {*images.DOCKERFILES, *images.CHARTS, "compose.yaml"}
    assert ("Dockerfile.api", "python:3.13-slim-trixie") in found
    assert ("compose.yaml", "postgres:18") in found
    assert (images.CHARTS[1], "redis:8") in found


def test_a_release_fails_on_a_tag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["images"])
    assert images.main() == 0, "every image has a tag at least"
    assert "Dockerfile.api: python:3.13-slim-trixie may get another content" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["images", "--release"])
    assert images.main() == 1
