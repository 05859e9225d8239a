"""What operators look at: dashboard and alert rules ask for what exists."""

import json
import re
from collections.abc import Iterator

import pytest

from chain.telemetry.metrics import Metrics, Reading
from miners import casebook, history, joining, memories, promise, replica, shelf
from tests.docs.pages import ROOT
from tests.docs.test_documents import constants
from validators import auditor, envelope, journal, mirror

GRAFANA = ROOT / "docs" / "grafana"
PROMQL = frozenset(
    {"by", "ignoring", "and", "sum", "rate", "increase", "delta", "changes", "histogram_quantile"}
)
FOLDERS = (
    shelf.KEPT, shelf.RECENT, shelf.MODELS, shelf.BASES, joining.PARTIALS, memories.FOLDER, history.FOLDER,
    auditor.FOLDER,
)  # fmt: skip
FILES = (
    joining.CHAIN_FILE, casebook.CASES_FILE, mirror.STATE_FILE, replica.SAVED_STEP, replica.SAVED_WEIGHTS,
    promise.MEMORY_FILE, envelope.ENVELOPE_FILE, journal.JOURNAL_FILE,
)  # fmt: skip
PAIRS = (promise.PROMISE_FILE, promise.DUE_FILE)  # each with a .blob


@pytest.mark.parametrize(
    "name",
    [*(f"{each}/" for each in FOLDERS), *FILES, *(each.replace(".json", ".*") for each in PAIRS)],
)
def test_what_a_worker_keeps_has_a_line(name: str) -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    listed = text.split("A miner's or judge's `--directory`")[1].split("```")[1]
    assert [line for line in listed.splitlines() if line.split()[:1] == [name]]


def series() -> set[str]:
    """Return every name that a query may use: those of the page, and the parts of histograms."""
    page = Metrics("local", "node", "0", 0.0)
    page.follow(Reading)
    found = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page.render(), re.MULTILINE):
        found |= {name} if kind != "histogram" else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return found


def labels_of(expression: str) -> set[str]:
    """Return the labels an expression compares or groups by."""
    compared = re.findall(r"[{,](\w+)=", expression)
    grouped = [
        name
        for names in re.findall(r"(?:by|ignoring) ?\(([\w, ]+)\)", expression)
        for name in names.split(", ")
    ]
    return {*compared, *grouped}


def names_in(expression: str) -> set[str]:
    """Return the series an expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[\w+\]|(?:by|ignoring) ?\([\w, ]+\)", " ", expression)
    return set(re.findall(r"\b[a-z]\w+\b", bare)) - PROMQL


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query stands and what it says."""
    board = json.loads((GRAFANA / "node.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    rules = (GRAFANA / "alerts.yml").read_text()
    yield from re.findall(r"- alert: (\w+)\n +expr: (.+)\n", rules)


def test_every_query_asks_for_series_that_exist() -> None:
    known, asked = series(), dict(queries())
    assert {
        where: sorted(names_in(said) - known) for where, said in asked.items() if names_in(said) - known
    } == {}
    assert len(asked) > 20


def test_every_query_uses_labels_that_exist() -> None:
    known = {
        "chain", "status", "reason", "method", "is_error", "task_name", "entity", "le", "instance",
    }  # fmt: skip
    assert {label for _, said in queries() for label in labels_of(said)} <= known


def test_every_alert_is_explained() -> None:
    rules = re.findall(r"- alert: (\w+)\n", (GRAFANA / "alerts.yml").read_text())
    text = (ROOT / "docs" / "operate.md").read_text()
    assert [name for name in rules if f"`{name}`" not in text] == []
    assert len(rules) == len(set(rules)) > 12


def test_every_log_line_is_in_the_code() -> None:
    """A line begins with words of the code, up to the first thing that the code fills in."""
    text = (ROOT / "docs" / "operate.md").read_text()
    section = text[text.index("## Logs") : text.index("## Metrics")]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    quoted = [line.replace("\\|", "|") for row in rows for line in re.findall(r"`([^`]+)`", row)]
    heads = [re.split(r"…|-?\d|0x|ws:|/ip4|http:", line)[0].rstrip(" #(") for line in quoted]
    assert [head for head in heads if not any(head in text for text in constants())] == []
    assert len(quoted) > 25


def test_panels_have_places_of_their_own() -> None:
    panels = json.loads((GRAFANA / "node.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
