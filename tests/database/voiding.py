"""A completed run is taken back: by the owner, under the engine's own mark, because no operation does it."""

import psycopg


def void(owner: psycopg.Connection, run_id: str) -> None:
    """Lead a completed run through voiding to voided, its members let go page by page."""
    with owner.transaction():
        owner.execute("select export_engine.open_for_writing()")
        owner.execute("update public.export_runs set status = 'voiding' where id = %s", [run_id])
        while owner.execute(
            "select from public.export_runs where id = %s and released_position < reserved_count",
            [run_id],
        ).rowcount:
            owner.execute(
                "select export_engine.release_page(r) from public.export_runs as r where r.id = %s",
                [run_id],
            )
        owner.execute("update public.export_runs set status = 'voided' where id = %s", [run_id])
