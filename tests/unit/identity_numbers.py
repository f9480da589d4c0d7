"""National identity numbers that nobody has: of the test populations, months 41-52 and 81-92."""

_FIRST = (3, 7, 6, 1, 8, 9, 4, 5, 2)
_SECOND = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def with_check_digits(nine: str) -> str | None:
    """Nine digits and the two check digits, as the rule is published; None if there are none."""
    first = (11 - sum(int(d) * w for d, w in zip(nine, _FIRST, strict=True)) % 11) % 11
    ten = f"{nine}{first}"
    if first == 10:
        return None
    second = (11 - sum(int(d) * w for d, w in zip(ten, _SECOND, strict=True)) % 11) % 11
    return None if second == 10 else f"{ten}{second}"


def number_born(day: int, month: int, year: int) -> str:
    """The first number that exists for these six digits, individual numbers counted down."""
    born = f"{day:02}{month:02}{year:02}"
    numbers = (with_check_digits(f"{born}{individual:03}") for individual in range(999, -1, -1))
    return next(number for number in numbers if number)


SYNTHETIC = number_born(17, 85, 72)
"""The seventeenth of May 1972 in the tax administration's test population."""
