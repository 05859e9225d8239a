"""What a judge writes down of every round: one JSON object per line, for people and dashboards."""

import json
from pathlib import Path
from typing import Any

from runtime.primitives.commitments import Score

JOURNAL_FILE = "rounds.jsonl"


class Journal:
    """An append-only log in the judge's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / JOURNAL_FILE
        self.has_model = False  # since this process started

    def round(self, number: int, beacon: bytes, scores: list[Score]) -> None:
        """Note the scores this judge gave."""
        rows = [
            {"uid": s.uid, "score_ppm": s.score, "loss_before": s.loss_before, "loss_after": s.loss_after}
            for s in scores
        ]
        self._write({"event": "scored", "round": number, "beacon": "0x" + beacon.hex(), "scores": rows})

    def model(self, number: int, root: bytes, loss: float) -> None:
        """Note the model after a round and its loss on the public held-out text, in nats per token."""
        self.has_model = True
        self._write(
            {"event": "model", "round": number, "root": "0x" + root.hex(), "held_out_loss": round(loss, 6)}
        )

    def _write(self, entry: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
