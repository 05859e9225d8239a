"""What operators of miners and judges look at: dashboard and alert rules ask for series that workers have."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from miners.blobs.server import Traffic
from miners.metrics import WorkerMetrics
from miners.shelf import Shelf
from tests.docs.test_operations import GRAFANA, labels_of, names_in

LABELS = frozenset({"chain", "instance", "phase", "outcome", "direction", "role", "le", "cause", "event"})


def series() -> set[str]:
    """Return every name that a query may use."""
    with tempfile.TemporaryDirectory() as home:
        page = WorkerMetrics("local", Traffic(), Shelf(Path(home))).render()
    found = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE):
        found |= {name} if kind != "histogram" else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query stands and what it says."""
    for panel in json.loads((GRAFANA / "training.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    rules = (GRAFANA / "training-alerts.yml").read_text()
    yield from re.findall(r"- alert: (\w+)\n +expr: (.+)\n", rules)


def test_every_query_asks_for_series_that_exist() -> None:
    known, asked = series(), list(queries())
    unknown = {where: missing for where, said in asked if (missing := names_in(said) - known - {"e12"})}
    assert unknown == {}
    assert len(asked) == 32


def test_every_query_uses_labels_that_exist() -> None:
    assert {label for _, said in queries() for label in labels_of(said)} <= LABELS


def test_every_series_is_shown() -> None:
    shown = {name for _, said in queries() for name in names_in(said)}
    hidden = {name for name in series() - shown if not name.endswith(("_sum", "_count"))}
    assert hidden == set()


def test_panels_have_places_of_their_own() -> None:
    panels = json.loads((GRAFANA / "training.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels) == 18
