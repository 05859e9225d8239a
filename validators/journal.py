"""What a judge writes down of every round: one JSON object per line, for people and dashboards."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.primitives.commitments import Score

log = logging.getLogger("validator")

JOURNAL_FILE = "rounds.jsonl"


class Journal:
    """An append-only log in the judge's directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / JOURNAL_FILE
        self.has_model = False  # since this process started

    def round(self, number: int, beacon: bytes, scores: list[Score]) -> None:
        """Note the scores this judge gave."""
        rows = [
            {"score_ppm" if name == "score" else name: value for name, value in asdict(each).items()}
            for each in scores
        ]
        self._write({"event": "scored", "round": number, "beacon": "0x" + beacon.hex(), "scores": rows})

    def model(self, number: int, root: bytes, loss: float) -> None:
        """Note the model after a round and its loss on the public held-out text, in nats per token."""
        self.has_model = True
        self._write(
            {"event": "model", "round": number, "root": "0x" + root.hex(), "held_out_loss": round(loss, 6)}
        )

    def audit(self, number: int, uid: int, verdict: str, overlap_ppm: int, fault: str) -> None:
        """Note what a replay of a miner's round has shown."""
        self._write(
            {
                "event": "audited", "round": number, "uid": uid, "verdict": verdict,
                "overlap_ppm": overlap_ppm, "fault": fault,
            }
        )  # fmt: skip

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as problem:  # nothing but people's view depends on it
            log.error("round %05d | not written down: %s", entry["round"], problem)
