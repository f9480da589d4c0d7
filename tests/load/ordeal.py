"""Both cases, one after the other, against one stack."""

import asyncio
from pathlib import Path

from stack.embedded_stack import EmbeddedStack
from tests.load.fleet import fleet
from tests.load.measurement import Measurement
from tests.load.neighbours import measure_neighbours
from tests.load.promise import Promise
from tests.load.scale import Scale
from tests.load.stampede import measure_stampede


def undergo(
    stack: EmbeddedStack, directory: Path, scale: Scale
) -> tuple[list[Measurement], list[Promise]]:
    """Start the processes, measure, stop them."""

    async def measure(addresses: list[str]) -> tuple[list[Measurement], list[Promise]]:
        rows, promises = await measure_neighbours(stack, addresses, scale)
        more_rows, more_promises = await measure_stampede(stack, addresses, scale, directory)
        return rows + more_rows, promises + more_promises

    with fleet(stack, directory, scale.processes) as addresses:
        return asyncio.run(measure(addresses))
