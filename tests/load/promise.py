"""What must hold under load."""

from dataclasses import dataclass

from tests.load.measurement import SERVER_ERROR, Measurement


@dataclass(frozen=True)
class Promise:
    """`found` is what was seen, for whoever reads that it was not kept."""

    text: str
    is_kept: bool
    found: str


def only_answers(measurement: Measurement, allowed: set[int]) -> Promise:
    """Every request got one of these answers, and none of them was ours to be ashamed of."""
    return Promise(
        f"{measurement.case}: only {sorted(allowed)}",
        set(measurement.statuses) <= allowed
        and not any(status >= SERVER_ERROR for status in set(measurement.statuses) - allowed),
        str(dict(measurement.statuses)),
    )


def at_most(what: str, seconds: float, bound: float) -> Promise:
    """A time that is bounded."""
    return Promise(f"{what} at most {bound:.2f} s", seconds <= bound, f"{seconds:.2f} s")
