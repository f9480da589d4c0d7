import socket
from pathlib import Path

from stack.credentials import load_credentials
from stack.ports import choose_ports


def test_ports_stay_the_same_while_they_are_free(tmp_path: Path) -> None:
    """A second start finds the addresses of the first."""
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["postgres", "supabase"])
    assert choose_ports(file, ["postgres", "supabase"]) == first


def test_a_port_that_somebody_took_is_replaced(tmp_path: Path) -> None:
    """A port in use by another program is given up; the others are kept."""
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["postgres", "supabase"])
    with socket.create_server(("127.0.0.1", first["postgres"])):
        second = choose_ports(file, ["postgres", "supabase"])
    assert second["postgres"] != first["postgres"]
    assert second["supabase"] == first["supabase"]


def test_secrets_are_drawn_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    """The second start finds the keys of the first, in a file closed to others."""
    file = tmp_path / "credentials.json"
    assert load_credentials(file) == load_credentials(file)
    assert load_credentials(file) != load_credentials(tmp_path / "other.json")
    assert file.stat().st_mode & 0o077 == 0
