from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.urls import is_url


@given(st.text(max_size=30))
def test_no_text_breaks_the_check(tail):
    assert is_url("https://" + tail) in (True, False)
    assert is_url("https://h/" + tail) == (tail.isascii() and tail.isprintable() and " " not in tail)
