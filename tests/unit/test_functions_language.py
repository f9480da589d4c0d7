"""Which language a caller gets."""

import pytest

from functions.language import preferred_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "nb"),
        ("en", "en"),
        ("EN-us", "en"),
        ("nn-NO", "nb"),
        ("no", "nb"),
        ("de, en;q=0.7, nb;q=0.3", "en"),
        ("en;q=0.3, nb;q=0.7", "nb"),
        ("en;q=0", "nb"),
        ("en;q=high", "nb"),
        ("en;q=nan", "nb"),
        ("*", "nb"),
        (",;,;q=", "nb"),
        ("fr", "nb"),
    ],
)
def test_the_heaviest_known_language_wins(header: str, language: str) -> None:
    """Norwegian or English by weight; Norwegian when neither is asked for."""
    assert preferred_language(header) == language
