"""How programs log: one line each, and nothing in it that drives a terminal."""

import logging

from miners.process import OneLine


def test_what_a_stranger_wrote_is_one_line_that_drives_no_terminal() -> None:
    said = "uid 5 | rejected: \x1b[31mred\nround 00007 | 🧠 all is well"
    record = logging.LogRecord("validator", logging.WARNING, "", 0, "%s", (said,), None)
    shown = OneLine("%(levelname)s %(message)s").format(record)
    assert shown == "WARNING uid 5 | rejected: �[31mred�round 00007 | 🧠 all is well"
