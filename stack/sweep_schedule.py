"""Calls the sweep again and again, as Cloud Scheduler does when deployed."""

import logging
import threading

import httpx

# A sweep may finish one long run; the next call waits for its answer.
ANSWER_SECONDS = 600


class SweepSchedule:
    """A thread that posts to `url` every so many seconds, until it is stopped."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_calling, daemon=True)

    def start(self) -> None:
        """Begin; the first sweep comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """Call no more. A sweep that is under way ends with its server."""
        self._stopping.set()

    def _keep_calling(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                httpx.post(self._url, timeout=ANSWER_SECONDS).raise_for_status()
            except httpx.HTTPError as error:
                if not self._stopping.is_set():
                    logging.getLogger(__name__).warning("The sweep failed: %r", error)
