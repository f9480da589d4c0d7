"""A configuration that changed is checked before anything is reserved under it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from exporters.registry import configuration_problems
from functions.delivery_check import delivery_problems
from functions.errors import SetUpProblem, SetUpRefused
from functions.export_guard import Begun, Busy, ExportGuard, Unchecked

# Somebody who goes on editing while it is checked can wait for a moment.
_MOST_CHECKS: Final = 3
_SECONDS_UNTIL_NEXT_TRY: Final = 5


class ConfigurationCheck:
    """Stateless; safe to share. What it found is kept, so each configuration costs this once."""

    def __init__(self, guard: ExportGuard) -> None:
        self._guard = guard

    async def begin(
        self, organization_id: UUID, ask: Callable[[], Awaitable[Begun | Unchecked]]
    ) -> Begun:
        """Asks again after each check. Raises SetUpRefused with every problem."""
        for _ in range(_MOST_CHECKS):
            begun = await ask()
            if not isinstance(begun, Unchecked):
                return begun
            problems = await asyncio.to_thread(_problems_of, begun.configuration)
            await self._guard.record_check(organization_id, begun, problems)
            if problems:
                raise SetUpRefused(problems)
        return Busy(outcome="busy", retry_after=_SECONDS_UNTIL_NEXT_TRY)


def _problems_of(configuration: Mapping[str, object]) -> list[SetUpProblem]:
    problems = [
        SetUpProblem(problem.field, str(problem.code), problem.message)
        for problem in configuration_problems(configuration)
    ]
    return problems or delivery_problems(configuration)
