import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from postgrest import APIError
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions
from supabase import AsyncClient
from supabase_auth.errors import AuthApiError

from stack.accounts import PASSWORD, Account, create_account, create_user
from stack.embedded_stack import EmbeddedStack
from stack.errors import ProgramEnded

ConnectClient = Callable[..., Awaitable[AsyncClient]]

PROBE = """
create table public.closed (id bigint);
revoke all on public.closed from public, anon, authenticated, service_role;

create function public.who_am_i() returns jsonb language sql security definer set search_path = ''
as $$ select jsonb_build_object('user', auth.uid(), 'role', auth.role()) $$;

create function public.refuse() returns jsonb language plpgsql
as $$ begin
  raise exception using errcode = 'PT409', message = 'Busy.', detail = 'lock_busy', hint = 'Wait.';
end $$;

create function public.violate() returns jsonb language plpgsql
as $$ begin
  raise exception using errcode = '23514', message = 'Too low.', detail = 'd', hint = 'h';
end $$;

create function public.rest(seconds numeric) returns jsonb language plpgsql
as $$ begin perform pg_sleep(seconds); return 'true'; end $$;

create function public.rest_briefly(seconds numeric) returns jsonb language plpgsql
set statement_timeout = '200ms'
as $$ begin perform pg_sleep(seconds); return 'true'; end $$;

create function public.echo(document jsonb) returns jsonb language sql
as $$ select jsonb_build_object('kind', jsonb_typeof(document), 'document', document) $$;

create function public.limits() returns jsonb language sql
as $$ select jsonb_build_object('statement', current_setting('statement_timeout'),
                                'lock', current_setting('lock_timeout')) $$;

revoke execute on all functions in schema public from public;
grant execute on all functions in schema public to authenticated, service_role;

insert into storage.buckets (id, name, public, allowed_mime_types, file_size_limit)
values ('files', 'files', false, array['text/csv'], 1000);

create policy "Owners read their folder" on storage.objects for select to authenticated
using (bucket_id = 'files' and split_part(name, '/', 1) = auth.uid()::text);
"""
CSV: FileOptions = {"content-type": "text/csv"}


def _new_stack(directory: Path) -> EmbeddedStack:
    migrations = directory / "migrations"
    migrations.mkdir(parents=True, exist_ok=True)
    (migrations / "20260101000000_probe.sql").write_text(PROBE)
    return EmbeddedStack(directory, durable=False, with_functions=False, migrations=migrations)


@pytest.fixture(scope="module")
def supabase(scratch_directory: Path) -> Iterator[EmbeddedStack]:
    """A Supabase without functions, with the probe as its only migration."""
    with _new_stack(scratch_directory / "probe") as stack:
        yield stack


@pytest.fixture
def account(supabase: EmbeddedStack) -> Account:
    """A user of the test's own."""
    return create_account(supabase)


@pytest.fixture
async def user(
    supabase: EmbeddedStack, account: Account, connect_client: ConnectClient
) -> AsyncClient:
    """A client that acts for the test's user."""
    key = supabase.credentials.publishable_key
    return await connect_client(supabase, key, account.access_token)


@pytest.fixture
async def service(supabase: EmbeddedStack, connect_client: ConnectClient) -> AsyncClient:
    """A client with the secret key."""
    return await connect_client(supabase, supabase.credentials.secret_key)


@pytest.fixture
async def anonymous(supabase: EmbeddedStack, connect_client: ConnectClient) -> AsyncClient:
    """A client with the publishable key and no user."""
    return await connect_client(supabase, supabase.credentials.publishable_key)


@pytest.fixture
async def http(supabase: EmbeddedStack) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to the API."""
    async with httpx.AsyncClient(base_url=supabase.url) as client:
        yield client


async def test_a_user_logs_in_with_a_password(
    supabase: EmbeddedStack, anonymous: AsyncClient
) -> None:
    """A created user logs in through the client library and is known to the Auth server."""
    email = f"{uuid4()}@example.org"
    user_id = create_user(supabase, email)
    login = await anonymous.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert login.session is not None
    answer = await anonymous.auth.get_user(login.session.access_token)
    assert answer is not None
    assert answer.user.id == str(user_id)
    with pytest.raises(AuthApiError, match="Invalid login credentials"):
        await anonymous.auth.sign_in_with_password({"email": email, "password": "wrong"})


async def test_a_function_sees_the_user_behind_the_token(
    user: AsyncClient, account: Account
) -> None:
    """auth.uid() and auth.role() are the caller's, inside a definer function too."""
    answer = await user.rpc("who_am_i").execute()
    assert answer.data == {"user": str(account.user_id), "role": "authenticated"}


async def test_a_function_sees_the_service_key_as_service_role(service: AsyncClient) -> None:
    """The secret key is a role without a user."""
    answer = await service.rpc("who_am_i").execute()
    assert answer.data == {"user": None, "role": "service_role"}


async def test_the_service_key_cannot_read_a_closed_table(service: AsyncClient) -> None:
    """Revoked privileges stay revoked for the secret key."""
    with pytest.raises(APIError) as refusal:
        await service.table("closed").select("*").execute()
    assert refusal.value.code == "42501"


async def test_anonymous_callers_are_refused(
    anonymous: AsyncClient, supabase: EmbeddedStack, http: httpx.AsyncClient
) -> None:
    """A function that is not for everybody answers 401 to a caller without login."""
    with pytest.raises(APIError) as refusal:
        await anonymous.rpc("who_am_i").execute()
    assert refusal.value.code == "42501"
    headers = {"apikey": supabase.credentials.publishable_key}
    assert (await http.post("/rest/v1/rpc/who_am_i", headers=headers)).status_code == 401
    assert (await http.post("/rest/v1/rpc/who_am_i")).status_code == 401


def _token(supabase: EmbeddedStack, secret: str, **claims: object) -> str:
    now = int(time.time())
    standard = {"sub": str(uuid4()), "role": "authenticated", "iat": now, "exp": now + 60}
    return jwt.encode({**standard, **claims}, secret or supabase.credentials.jwt_secret)


@pytest.mark.parametrize("path", ["/rest/v1/rpc/who_am_i", "/storage/v1/object/files/x.csv"])
@pytest.mark.parametrize("kind", ["expired", "foreign", "garbage"])
async def test_a_token_that_does_not_hold_is_refused(
    supabase: EmbeddedStack, http: httpx.AsyncClient, kind: str, path: str
) -> None:
    """Expired, foreign and meaningless tokens are refused: 401, at storage 400 with status 403."""
    token = {
        "expired": _token(supabase, "", exp=int(time.time()) - 60),
        "foreign": _token(supabase, "somebody else's secret of sufficient length"),
        "garbage": "garbage",
    }[kind]
    keys = {
        "apikey": supabase.credentials.publishable_key,
        "Authorization": f"Bearer {token}",
    }
    answer = await http.post(path, headers=keys)
    if path.startswith("/rest"):
        assert answer.status_code == 401
    else:
        assert (answer.status_code, answer.json()["statusCode"]) == (400, "403")


async def test_a_raised_status_arrives_with_detail_and_hint(
    user: AsyncClient, supabase: EmbeddedStack, account: Account, http: httpx.AsyncClient
) -> None:
    """PT409 keeps code, message, detail and hint, and is the HTTP status."""
    with pytest.raises(APIError) as refusal:
        await user.rpc("refuse").execute()
    error = refusal.value
    assert (error.code, error.message, error.details, error.hint) == (
        "PT409",
        "Busy.",
        "lock_busy",
        "Wait.",
    )
    headers = {
        "apikey": supabase.credentials.publishable_key,
        "Authorization": f"Bearer {account.access_token}",
    }
    assert (await http.post("/rest/v1/rpc/refuse", headers=headers)).status_code == 409


@pytest.mark.parametrize(
    ("document", "kind"),
    [({"a": ["å", None]}, "object"), ([{"a": 1}], "array"), ([], "array"), ("å", "string")],
)
async def test_a_json_argument_arrives_as_it_was_sent(
    user: AsyncClient, document: object, kind: str
) -> None:
    """An object or array is not wrapped into a string on its way into a function and back."""
    answer = await user.rpc("echo", {"document": document}).execute()
    assert answer.data == {"kind": kind, "document": document}


async def test_other_errors_keep_their_code(user: AsyncClient) -> None:
    """A violated check arrives with its SQLSTATE, detail and hint, as from PostgREST."""
    with pytest.raises(APIError) as refusal:
        await user.rpc("violate").execute()
    error = refusal.value
    assert (error.code, error.message, error.details, error.hint) == ("23514", "Too low.", "d", "h")


async def test_api_calls_have_the_time_limits_of_a_hosted_project(
    user: AsyncClient, service: AsyncClient
) -> None:
    """Statements and waits for locks end after 8 s, or when a function's own limit says so."""
    hosted = {"statement": "8s", "lock": "8s"}
    assert (await user.rpc("limits").execute()).data == hosted
    assert (await service.rpc("limits").execute()).data == hosted
    with pytest.raises(APIError) as refusal:
        await user.rpc("rest_briefly", {"seconds": 5}).execute()
    assert refusal.value.code == "57014"


async def test_calls_run_side_by_side(user: AsyncClient) -> None:
    """Ten calls of half a second do not wait for each other."""
    started = time.monotonic()
    await asyncio.gather(*[user.rpc("rest", {"seconds": 0.5}).execute() for _ in range(10)])
    assert time.monotonic() - started < 2.5


async def test_a_new_function_is_found_after_the_schema_is_reloaded(
    supabase: EmbeddedStack, service: AsyncClient
) -> None:
    """`notify pgrst` makes the data API look again."""
    with pytest.raises(APIError) as refusal:
        await service.rpc("newcomer").execute()
    assert refusal.value.code == "PGRST202"
    with supabase.database.connect("postgres") as postgres:
        postgres.execute("create function public.newcomer() returns int return 1")
        postgres.execute("grant execute on function public.newcomer to service_role")
        postgres.execute("notify pgrst, 'reload schema'")
    await asyncio.sleep(0.2)
    assert (await service.rpc("newcomer").execute()).data == 1


async def test_an_uploaded_file_is_stored_once(service: AsyncClient) -> None:
    """A second upload to the same key is refused as a duplicate and changes nothing."""
    key = f"{uuid4()}/file.csv"
    files = service.storage.from_("files")
    await files.upload(key, b"first", CSV)
    with pytest.raises(StorageApiError) as refusal:
        await files.upload(key, b"second", CSV)
    assert (refusal.value.status, refusal.value.code) == ("409", "Duplicate")
    assert await files.download(key) == b"first"


async def test_a_duplicate_has_the_hosted_form(
    supabase: EmbeddedStack, http: httpx.AsyncClient
) -> None:
    """Storage reports a duplicate as HTTP 400 with the real status as text."""
    address = f"/storage/v1/object/files/{uuid4()}/file.csv"
    headers = {"apikey": supabase.credentials.secret_key, "content-type": "text/csv"}
    assert (await http.post(address, headers=headers, content=b"1")).status_code == 200
    answer = await http.post(address, headers=headers, content=b"2")
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": "409",
        "error": "Duplicate",
        "message": "The resource already exists",
    }


async def test_own_metadata_is_kept(service: AsyncClient, supabase: EmbeddedStack) -> None:
    """What was given as metadata comes back, also after the file was replaced."""
    key = f"{uuid4()}/file.csv"
    files = service.storage.from_("files")
    await files.upload(key, b"1", {**CSV, "metadata": {"sha256": "abc"}})
    information = await files.info(key)
    assert information["metadata"] == {"sha256": "abc"}
    assert (information["size"], information["content_type"]) == (1, "text/csv")
    await files.update(key, b"22", {**CSV, "metadata": {"sha256": "def"}})
    assert (await files.info(key))["metadata"] == {"sha256": "def"}
    assert await files.download(key) == b"22"
    with supabase.database.connect("postgres") as postgres:
        rows = postgres.execute("select user_metadata from storage.objects where name = %s", [key])
        assert rows.fetchall() == [({"sha256": "def"},)]


async def test_a_file_is_uploaded_from_a_path(service: AsyncClient, tmp_path: Path) -> None:
    """The client library hands over a file by its path."""
    path = tmp_path / "file.csv"
    path.write_bytes(b"a;b\n" * 10)
    key = f"{uuid4()}/file.csv"
    await service.storage.from_("files").upload(key, path, CSV)
    assert await service.storage.from_("files").download(key) == path.read_bytes()


@pytest.mark.parametrize(
    ("key", "content", "options", "status", "code"),
    [
        ("å.csv", b"1", CSV, "400", "InvalidKey"),
        ("file.csv", b"1", {"content-type": "text/plain"}, "415", "invalid_mime_type"),
        ("file.csv", b"1" * 1001, CSV, "413", "Payload too large"),
    ],
)
async def test_what_the_bucket_does_not_take_is_refused(  # noqa: PLR0913, PLR0917 - a table's columns
    service: AsyncClient,
    key: str,
    content: bytes,
    options: FileOptions,
    status: str,
    code: str,
) -> None:
    """Keys outside the safe set, other types and too large files are refused with their status."""
    with pytest.raises(StorageApiError) as refusal:
        await service.storage.from_("files").upload(f"{uuid4()}/{key}", content, options)
    assert (refusal.value.status, refusal.value.code) == (status, code)


async def test_a_signed_link_downloads_under_its_name(
    service: AsyncClient, user: AsyncClient, account: Account
) -> None:
    """A user whom a policy lets read signs a link, which works without login and names the file."""
    key = f"{account.user_id}/file.csv"
    await service.storage.from_("files").upload(key, b"a;b\n", CSV)
    files = user.storage.from_("files")
    link = (await files.create_signed_url(key, 60, {"download": "Bilag å.csv"}))["signedURL"]
    assert link is not None
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(link)
        spoilt = await browser.get(link.replace("token=", "token=x"))
        moved = await browser.get(link.replace("file.csv", "other.csv"))
    assert answer.content == b"a;b\n"
    assert answer.headers["content-type"] == "text/csv"
    assert "filename*=UTF-8''Bilag%20%C3%A5.csv" in answer.headers["content-disposition"]
    assert (spoilt.status_code, moved.status_code) == (400, 400)


async def test_a_signed_link_expires(service: AsyncClient) -> None:
    """After its time a link answers 400 InvalidJWT."""
    key = f"{uuid4()}/file.csv"
    await service.storage.from_("files").upload(key, b"1", CSV)
    link = await service.storage.from_("files").create_signed_url(key, 1)
    assert link["signedURL"] is not None
    await asyncio.sleep(2.1)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(link["signedURL"])
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidJWT")


async def test_a_foreign_user_finds_no_file(service: AsyncClient, user: AsyncClient) -> None:
    """Without a policy that lets them read, a user gets 404 for a file that exists."""
    key = f"{uuid4()}/file.csv"
    await service.storage.from_("files").upload(key, b"1", CSV)
    files = user.storage.from_("files")
    for attempt in (files.create_signed_url(key, 60), files.download(key), files.info(key)):
        with pytest.raises(StorageApiError) as refusal:
            await attempt
        assert (refusal.value.status, refusal.value.code) == ("404", "not_found")
    assert await files.list(key.split("/", maxsplit=1)[0]) == []


async def test_a_user_without_a_policy_cannot_upload(user: AsyncClient, account: Account) -> None:
    """Without an insert policy an upload is refused as unauthorized."""
    with pytest.raises(StorageApiError) as refusal:
        await user.storage.from_("files").upload(f"{account.user_id}/file.csv", b"1", CSV)
    assert (refusal.value.status, refusal.value.code) == ("403", "Unauthorized")


async def test_files_are_listed_by_folder_and_removed(service: AsyncClient) -> None:
    """A listing shows one level, folders without id; removed files are gone."""
    folder = str(uuid4())
    files = service.storage.from_("files")
    for name in ("b.csv", "a.csv", "deep/c.csv"):
        await files.upload(f"{folder}/{name}", b"1", CSV)
    listed = await files.list(folder)
    assert [(row["name"], row["id"] is None) for row in listed] == [
        ("a.csv", False),
        ("b.csv", False),
        ("deep", True),
    ]
    removed = await files.remove([f"{folder}/a.csv", f"{folder}/absent.csv"])
    assert [row["name"] for row in removed] == [f"{folder}/a.csv"]
    assert not await files.exists(f"{folder}/a.csv")


def test_sql_cannot_delete_files(supabase: EmbeddedStack) -> None:
    """Deleting storage rows by SQL is refused even to the owner of the migrations."""
    with (
        supabase.database.connect("postgres") as postgres,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="Direct deletion"),
    ):
        postgres.execute("delete from storage.objects where false")


async def test_simultaneous_uploads_leave_one_whole_file(service: AsyncClient) -> None:
    """Uploads to one key at the same moment succeed or are duplicates; one file remains."""
    key = f"{uuid4()}/file.csv"
    files = service.storage.from_("files")
    contents = [str(number).encode() * 500 for number in range(8)]
    results = await asyncio.gather(
        *[files.upload(key, content, CSV) for content in contents], return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) < len(contents)
    assert {error.code for error in refused if isinstance(error, StorageApiError)} <= {"Duplicate"}
    assert all(isinstance(error, StorageApiError) for error in refused)
    assert await files.download(key) in contents


async def test_the_api_comes_back_after_a_crash(
    scratch_directory: Path, connect_client: ConnectClient
) -> None:
    """A killed API server is started again; a killed and restarted Postgres is found again."""
    with _new_stack(scratch_directory / "crash") as stack:
        client = await connect_client(stack, stack.credentials.secret_key)
        await client.rpc("who_am_i").execute()
        stack.supabase.kill()
        stack.supabase.wait_until_ready()
        await client.rpc("who_am_i").execute()
        stack.postgres.kill()
        stack.postgres.start()
        stack.supabase.wait_until_ready()
        deadline = time.monotonic() + 10
        while True:
            try:
                await client.rpc("who_am_i").execute()
                break
            except (APIError, httpx.TransportError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)


def test_two_stacks_live_side_by_side(scratch_directory: Path, supabase: EmbeddedStack) -> None:
    """A second stack has other ports and keys, and leaves the first alone when it stops."""
    with _new_stack(scratch_directory / "second") as second:
        assert second.url != supabase.url
        assert second.credentials != supabase.credentials
        answer = httpx.get(
            f"{supabase.url}/rest/v1/", headers={"apikey": second.credentials.secret_key}
        )
        assert answer.status_code == 401
    assert httpx.get(f"{supabase.url}/auth/v1/health").status_code > 0


def test_a_stack_starts_again_with_its_data(scratch_directory: Path) -> None:
    """Users and keys outlive a stop."""
    with _new_stack(scratch_directory / "again") as stack:
        account = create_account(stack)
        credentials = stack.credentials
    with _new_stack(scratch_directory / "again") as stack:
        assert stack.credentials == credentials
        with stack.database.connect("postgres") as postgres:
            rows = postgres.execute("select id from auth.users where email = %s", [account.email])
            assert rows.fetchall() == [(account.user_id,)]


def _processes_below(directory: Path) -> list[str]:
    """Command lines of the running processes that name the directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (ProcessLookupError, FileNotFoundError):
                continue
            if str(directory) in command:
                found.append(command)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads the processes from /proc")  # noqa: PTH112
def test_a_start_that_fails_leaves_no_process(scratch_directory: Path) -> None:
    """When a part cannot start, those that were started before it are stopped."""
    directory = scratch_directory / "failing"
    broken = _new_stack(directory)
    (directory / "migrations" / "20260101000001_broken.sql").write_text("select no_such_thing;")
    with pytest.raises(psycopg.errors.UndefinedColumn) as failure, broken:
        pytest.fail("the stack must not start")
    assert "20260101000001_broken.sql" in failure.value.__notes__[0]
    assert _processes_below(directory) == []


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads the processes from /proc")  # noqa: PTH112
def test_a_part_that_fails_leaves_no_process(
    scratch_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the API server cannot start, Postgres is stopped and the reason is shown."""
    directory = scratch_directory / "failing-api"
    monkeypatch.setattr("stack.supabase_lite.POOL_SIZE", "none")
    with ExitStack() as cleanup, pytest.raises(ProgramEnded, match="embedded Supabase"):
        cleanup.enter_context(_new_stack(directory))
    assert _processes_below(directory) == []
