"""The processes of the functions: those that the phones reach, and the sweeps."""

from collections.abc import Mapping
from pathlib import Path

from tests.chaos.function_process import FunctionProcess
from tests.chaos.network import Network


class Fleet:
    """All of them see Supabase through the same network."""

    def __init__(
        self,
        directory: Path,
        counts: Mapping[str, int],
        environment: Mapping[str, str],
        network: Network,
        checkout: Path,
    ) -> None:
        names = {
            f"{target}-{number}": target
            for target, count in counts.items()
            for number in range(1, count + 1)
        }
        self.processes = [
            FunctionProcess(
                name,
                directory / name,
                target=target,
                environment={**environment, "SUPABASE_URL": network.door(name)},
                checkout=checkout,
            )
            for name, target in names.items()
        ]

    def start(self) -> None:
        """Start them side by side, and wait until they serve."""
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait()

    def living(self, target: str) -> list[str]:
        """Addresses of the processes of a target that serve, as far as anybody knows."""
        return [p.url for p in self.processes if p.target == target and p.is_up]

    def caller(self, port: int) -> str | None:
        """The name of the process that calls from a port of this machine."""
        return next((p.name for p in self.processes if p.calls_from(port)), None)

    def heal(self) -> None:
        """Nothing is frozen and everything serves."""
        for process in self.processes:
            process.heal()

    def stop(self) -> None:
        """End them all."""
        for process in self.processes:
            process.stop()
