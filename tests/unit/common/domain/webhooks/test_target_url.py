"""URLs of endpoints: plain ones are taken, and each way to write an address or a name oddly is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.webhooks.target_url import TargetUrl, UrlRules

RULES = UrlRules(("https",), (443, 8443))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.com", TargetUrl("https", "hooks.example.com", 443, "/")),
        ("HTTPS://Hooks.Example.COM/A?b=C", TargetUrl("https", "hooks.example.com", 443, "/A?b=C")),
        ("https://hooks.example.com:8443/a//b/../c", TargetUrl("https", "hooks.example.com", 8443, "/a//b/../c")),
        ("https://xn--bcher-kva.example/", TargetUrl("https", "xn--bcher-kva.example", 443, "/")),
        ("https://8.8.8.8/", TargetUrl("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700:4700::1111]/", TargetUrl("https", "2606:4700:4700::1111", 443, "/")),
        ("https://h.example?a", TargetUrl("https", "h.example", 443, "/?a")),
    ],
)
def test_a_plain_url_is_taken(url: str, target: TargetUrl) -> None:
    assert RULES.parse(url) == target


REFUSED = {
    "another scheme": ["http://h.example/", "ftp://h.example/", "file:///etc/passwd", "gopher://h.example/"],
    "no scheme": ["h.example", "//h.example/", "https:h.example", "https:/h.example"],
    "another port": [
        "https://h.example:22/",
        "https://h.example:0/",
        "https://h.example:99999/",
        "https://h.example:/",
    ],
    "a user": [
        "https://user@h.example/",
        "https://user:word@h.example/",
        "https://h.example@127.0.0.1/",
        "https://@h.example/",
    ],
    "a fragment": ["https://h.example/#a", "https://h.example#@127.0.0.1/"],
    "a backslash": ["https://h.example\\@127.0.0.1/", "https:\\\\h.example/", "https://h.example\\.b.example/"],
    "an odd address": [
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://127.0.0.1./",
        "https://1.2.3/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://h.example.0x7f/",
        "https://0/",
        "https://[::1%25eth0]/",
        "https://[::1/",
        "https://[h.example]/",
        "https://[1.2.3.4]/",
        "https://[v1.a]/",
    ],
    "a name that only this network knows": ["https://localhost/", "https://postgres/"],
    "a dot at the end": ["https://h.example./", "https://localhost./"],
    "no name": [
        "https:///a",
        "https://.h.example/",
        "https://h..example/",
        "https://-h.example/",
        "https://h-.example/",
    ],
    "a space or control": [
        "https://h.example/a b",
        "https://h.exa mple/",
        "https://h.example/\n",
        " https://h.example/",
    ],
    "percent in the host": ["https://h%2eexample/", "https://%31%32%37.0.0.1/"],
    "not ASCII": ["https://bücher.example/", "https://h.example/ü", "https://①②⑦.0.0.1/", "https://h。example/"],
    "too long": ["https://h.example/" + "a" * 2_048, "https://" + "a" * 64 + ".example/"],
}


@pytest.mark.parametrize("url", [url for family in REFUSED.values() for url in family])
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is) "):
        RULES.parse(url)


def test_an_operator_may_allow_other_schemes_ports_and_hosts() -> None:
    rules = UrlRules(("https", "http"), (80, 443), ("*.example.com", "hooks.example.org"), ("receiver", "*.internal"))
    for url in ("http://a.example.com/", "https://a.b.example.com/", "https://hooks.example.org/", "http://receiver/x"):
        assert rules.parse(url)
    assert rules.is_private_host("receiver")
    assert rules.is_private_host("a.internal")
    for url in ("https://example.com/", "https://evilexample.com/", "https://a.example.org/", "https://internal/"):
        with pytest.raises(ValueError, match="has a host"):
            rules.parse(url)
    assert not rules.is_private_host("a.example.com")


@given(st.text(max_size=60))
def test_no_text_is_taken_whose_host_could_be_read_differently(text: str) -> None:
    """A host that is taken has few kinds of characters: no backslash, percent or control."""
    for url in (text, f"https://{text}", f"https://{text}/", f"https://h.example{text}"):
        try:
            target = RULES.parse(url)
        except ValueError:
            continue
        assert set(target.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_:")
        assert target.target.startswith("/")
        assert target.target.isprintable()
