"""Threads that work for a campaign; what one of them stumbles over is the campaign's, not nobody's."""

import threading
import time
from collections.abc import Callable


class Crew:
    """Workers are joined in the end, all of them; the first error is raised then."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def work(self, job: Callable[..., object], *arguments: object) -> None:
        """Do a job in a thread of its own."""
        thread = threading.Thread(target=self._do, args=(job, arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for all; False when some still work after these seconds."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        return not any(thread.is_alive() for thread in self._threads)

    def _do(self, job: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            job(*arguments)
        except BaseException as error:  # noqa: BLE001 - raised again by join
            self._errors.append(error)
