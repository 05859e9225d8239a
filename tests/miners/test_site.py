"""What of a worker's command line makes no sense."""

import pytest

from miners.site import Site, check_numbers, check_site


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((-1, 0, 1), "--netuid is -1, must be 0 to 65535"),
        ((1, 65_536, 1), "--port is 65536, must be 0 to 65535"),
        ((1, 0, 0), "--threads is 0, must be 1 to 1024"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers: tuple[int, int, int], said: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_numbers(*numbers)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (Site(None, "", 0, quota=0), "--blob-quota is 0, must be above 0 and at most 1000000 GiB"),
        (
            Site(None, "", 0, quota=float("nan")),
            "--blob-quota is nan, must be above 0 and at most 1000000 GiB",
        ),
        *(
            (Site(None, "", 0, url), f"--public-url is {url!r}, must be http:// or https:// and a host")
            for url in (
                "",
                "judge.example",
                "ftp://judge",
                "http://",
                "http://:80",
                "http://a@b",
                "http://a b",
                "http://judge:0",
            )
        ),
    ],
)
def test_a_site_that_makes_no_sense_is_refused(site: Site, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_site(site)
    assert str(refused.value) == said
