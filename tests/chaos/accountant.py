"""The accountant at the other end, who posts what lies in the journals."""

from random import Random

import httpx

from tests.business_central.double_process import DoubleProcess


class Accountant:
    """Posts journals of ours as soon as she sees them, finished or not."""

    def __init__(self, double: DoubleProcess, draw: Random) -> None:
        self._double = double
        self._draw = draw

    def post(self) -> str:
        """One journal; what became of it."""
        journals = self._double.journals()
        filled = [code for code, lines in journals.items() if lines and code.startswith("EX")]
        if not filled:
            return "nothing to post"
        try:
            self._double.post(self._draw.choice(filled))
        except httpx.HTTPError:  # unbalanced, or removed meanwhile
            return "not posted"
        return "posted"
