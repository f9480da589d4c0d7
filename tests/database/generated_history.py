"""A long history, made by one statement: runs that nobody worked on, several with the same timestamp."""

from collections.abc import Iterator
from typing import Any

import psycopg

from tests.organisation import Organisation, call

RUNS_PER_SECOND = 7


def generate_runs(
    organisation: Organisation,
    first: int,
    count: int,
    *,
    second: int | None = None,
    file_name: str | None = None,
    **columns: object,
) -> None:
    """Add runs numbered from `first`; the later the number, the younger, seven to a timestamp.

    With `second`, all of them get the timestamp of the runs numbered seven times that. With
    `file_name` each has a file of that name; its hash is that of the run's number.
    """
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", %({name})s" for name in columns)
    with organisation.database.connect("postgres", autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "insert into public.export_runs (organization_id, run_number, trigger, target, format, period_to, time_zone,"
            " cut_off, export_date, configuration, file_path, file_name, file_sha256, file_size, content_type,"
            f" created_at{names})"
            " select %(organization)s, n, 'repository', 'xledger', 'xledger_gl02b', '2026-10-31', 'Europe/Oslo',"
            "  '2026-10-31', '2026-10-31', '{}',"
            "  case when %(file)s::text is not null then %(organization)s || '/' || n || '.csv' end, %(file)s::text,"
            "  case when %(file)s::text is not null then encode(sha256(n::text::bytea), 'hex') end,"
            "  case when %(file)s::text is not null then 1 end, case when %(file)s::text is not null then 'text/csv' end,"
            "  timestamptz '2026-10-01' + coalesce(%(second)s::integer, n / %(group)s) * interval '1 second'"
            f" {values} from generate_series(%(first)s, %(first)s + %(count)s - 1) as n".encode(),
            {
                "organization": organisation.id,
                "group": RUNS_PER_SECOND,
                "second": second,
                "file": file_name,
                "first": first,
                "count": count,
                **columns,
            },
        )
        owner.commit()


def pages_by_cursor(
    reader: psycopg.Connection, organisation: Organisation, limit: int, **wanted: object
) -> Iterator[list[dict[str, Any]]]:
    """Walk to the end as an app does: each page with the cursor that the one before gave."""
    cursor = None
    while True:
        page = call(
            reader,
            "get_export_history",
            p_organization_id=organisation.id,
            p_limit=limit,
            p_cursor=cursor,
            **wanted,
        )
        yield page["runs"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def pages_by_offset(
    reader: psycopg.Connection, organisation: Organisation, limit: int
) -> Iterator[list[dict[str, Any]]]:
    """Walk to the end by counting."""
    offset = 0
    while True:
        page = call(
            reader,
            "get_export_history",
            p_organization_id=organisation.id,
            p_limit=limit,
            p_offset=offset,
        )
        if not page["runs"]:
            return
        yield page["runs"]
        offset += limit
