"""What is read again of a file is whole, or damaged and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from miners.files import Damaged, bytes_in, number_in, read_whole, write_whole

NO_JSON = (b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5_000)
OTHERS = (b"1e999", b"NaN", b"-1", b"4294967296", b"null", b"{}", b"[[]]", b'"zz"', b'"\xc3\xa9"')
"""JSON that stands in no file where something else stood."""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b'{"round": 7, "root": "0b0c"}')
    assert read_whole(tmp_path / "file", lambda found: number_in(found["round"])) == 7
    assert read_whole(tmp_path / "file", lambda found: bytes_in(found["root"], 2)) == b"\x0b\x0c"
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "none", dict)


@pytest.mark.parametrize("content", NO_JSON)
def test_what_is_no_json_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Damaged) as told:
        read_whole(tmp_path / "file", str)
    assert str(told.value).startswith(f"{tmp_path}/file is damaged (")
    assert len(str(told.value)) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("made", [number_in, lambda found: bytes_in(found, 2)])
@pytest.mark.parametrize("content", OTHERS)
def test_what_is_out_of_range_is_damaged(tmp_path: Path, content: bytes, made: Callable[[Any], Any]) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Damaged):
        read_whole(tmp_path / "file", made)
