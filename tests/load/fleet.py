"""Function processes beside each other, as a platform starts them for many requests."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer
from stack.ports import free_port


@contextmanager
def fleet(
    stack: EmbeddedStack, directory: Path, processes: int, supabase_url: str | None = None
) -> Iterator[list[str]]:
    """Serve from so many processes; their addresses."""
    environment = dict(stack.functions_environment)
    environment["SUPABASE_URL"] = supabase_url or stack.url
    with ExitStack() as cleanup:
        servers = [
            FunctionsServer(directory / f"process-{number}", free_port(), environment)
            for number in range(processes)
        ]
        for server in servers:
            cleanup.callback(server.stop)
            server.start()
        for server in servers:
            server.wait_until_ready()
        yield [server.url for server in servers]
