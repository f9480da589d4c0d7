"""What ends the demo early."""


class DemoFailure(Exception):  # noqa: N818 - it ends the demo, it is not a fault of the program
    """Something did not happen as promised; the message says what."""


def demand(truth: object, otherwise: str) -> None:
    """Fail the demo unless something holds."""
    if not truth:
        raise DemoFailure(otherwise)
