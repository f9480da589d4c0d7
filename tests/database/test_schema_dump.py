"""The one file that says what all migrations come to says it truly."""

from stack.database import Database
from stack.schema_dump import FILE, schema_of


def test_the_schema_file_is_what_the_migrations_make(template_database: Database) -> None:
    """Whoever adds a migration writes the file anew: `make schema`."""
    assert FILE.read_text(encoding="utf-8") == schema_of(template_database), "run `make schema`"
