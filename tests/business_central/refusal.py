"""How Business Central says no."""

from uuid import uuid4


class Refusal(Exception):  # noqa: N818  # an answer, not a defect
    """An error body with a correlation id, as the service words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.body = {"error": {"code": code, "message": f"{message}  CorrelationId:  {uuid4()}."}}


def bad_request(message: str, code: str = "BadRequest") -> Refusal:
    """The request is malformed."""
    return Refusal(400, code, message)


def not_found(message: str = "The requested resource does not exist.") -> Refusal:
    """Nothing at this address, or nothing that this page shows."""
    return Refusal(404, "BadRequest_ResourceNotFound", message)
