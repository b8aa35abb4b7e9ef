import pytest

from backend.core.useragents import describe

MOZILLA = "Mozilla/5.0 "


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (MOZILLA + "(X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome, Linux"),
        (MOZILLA + "(Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        (MOZILLA + "(iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari, iPhone"),
        (MOZILLA + "(Linux; Android 15) Chrome/140.0 YaBrowser/25.1 Mobile Safari/537.36", "Yandex Browser, Android"),
        (MOZILLA + "(Macintosh; Intel Mac OS X 10_15) Gecko Firefox/140.0", "Firefox, macOS"),
        ("python-httpx/0.28.1", "python-httpx"),
        ("curl/8.0", "curl"),
        ("", ""),
        ("<script>", ""),
    ],
)
def test_a_device_is_named_as_its_owner_would(agent: str, words: str) -> None:
    assert describe(agent) == words
