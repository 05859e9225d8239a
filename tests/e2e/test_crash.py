"""The short form of bench.crash: processes that import real blocks are killed; nothing is lost or wrong."""

from pathlib import Path

import pytest

from bench.crash import Campaign, Moment

pytestmark = pytest.mark.e2e


def test_whatever_is_left_of_a_killed_process_is_right(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=7, blocks=60)
    killed = campaign.kill(6)
    torn = campaign.tear(2)
    rotten = campaign.rot(2)
    assert campaign.findings == []
    assert killed["sound"] == killed["kills"] == 6
    assert killed["acknowledged"] > 6
    assert {each.value for each in Moment} <= set(killed)
    assert torn["sound"] == 2
    assert rotten["sound"] + rotten["refused"] == 2
    assert campaign.verdicts["did not go on"] == 0
