// The connection that lite speaks to Postgres through, with hosted Supabase's behaviour where lite's own differs.
import { createPostgresConnection } from "@supabase/lite/postgres";
import { sql } from "kysely";

// PostgREST prints 2026-01-31T12:00:00+00:00; Postgres prints 2026-01-31 12:00:00+00, which supabase-py cannot read.
const asPostgrest = (text) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00");
const type = (oid, parse) => ({ to: oid, from: [oid], serialize: String, parse });
// lite hands objects and arrays over as JSON text already, and the driver would make a JSON string of that.
const asJson = (value) => (typeof value === "string" && /^[[{]/.test(value) ? value : JSON.stringify(value));
const jsonType = (oid) => ({ to: oid, from: [oid], serialize: asJson, parse: (text) => JSON.parse(text) });

// Time limits of hosted API roles. lite logs in as superuser, so that limits set on roles would not apply.
const statementTimeout = { anon: "3s", authenticated: "8s", service_role: "8s" };
const lockTimeout = "8s";

// https://docs.postgrest.org/en/v14/references/errors.html; lite answers 500 without detail for these.
const knownToLite = /^(PT|PGRST|42|22|21|25006$|55|2350[35]$)/;
function httpStatus(code) {
  if (code === "P0001") return 400;
  if (/^(08|53(?!400))/.test(code)) return 503;
  if (/^(0L|0P|28)/.test(code)) return 403;
  return /^(09|25|2D|38|39|3B|40|53|54|57|58|F0|HV|P0|XX)/.test(code) ? 500 : 400;
}

function normalizeDbError(error) {
  const code = error?.code;
  if (typeof code !== "string" || !/^[0-9A-Z]{5}$/.test(code) || knownToLite.test(code)) return error;
  const body = { code, message: error.message, details: error.detail ?? null, hint: error.hint ?? null };
  return Object.assign(new Error(JSON.stringify(body)), {
    code: "PGRST",
    detail: JSON.stringify({ status: httpStatus(code), headers: {} }),
  });
}

// Replaces lite's five statements by one; also gives `request.jwt.claims` to callers without a user.
async function applyJwtSessionContext(transaction, vars) {
  const role = vars.auth?.role || "anon";
  const claims = JSON.stringify(vars.auth?.jwt ?? { role });
  await sql`select set_config('role', ${role}, true), set_config('request.jwt.claims', ${claims}, true),
    set_config('request.jwt.claim.sub', ${String(vars.auth?.uid ?? "")}, true),
    set_config('request.jwt.claim.role', ${role}, true),
    set_config('lock_timeout', ${lockTimeout}, true),
    set_config('statement_timeout', ${statementTimeout[role] ?? "8s"}, true)`.execute(transaction);
}

// PostgREST applies a function's own `set statement_timeout` to the whole request.
async function applyRpcRequestGucs(transaction, request) {
  const name = request.path.split("/").pop();
  await sql`select set_config('request.method', ${request.method}, true), set_config('request.path', ${request.path}, true),
    set_config('request.headers', ${JSON.stringify(request.requestHeaders ?? {})}, true),
    set_config('response.status', '', true), set_config('response.headers', '', true),
    set_config('statement_timeout', coalesce((select split_part(setting, '=', 2) from pg_proc, unnest(proconfig) setting
      where pronamespace = 'public'::regnamespace and proname = ${name} and setting like 'statement_timeout=%' limit 1),
      current_setting('statement_timeout')), true)`.execute(transaction);
}

// The dashboard of a hosted project works as postgres, without a token and with a longer limit.
async function applyOwnerContext(transaction) {
  await sql`select set_config('role', 'postgres', true), set_config('request.jwt.claims', '', true),
    set_config('statement_timeout', '60s', true)`.execute(transaction);
}

export function connect(url, poolSize, { asOwner = false } = {}) {
  const connection = createPostgresConnection({
    url,
    postgresOptions: {
      max: poolSize,
      onnotice: () => {},
      types: {
        json: jsonType(114),
        jsonb: jsonType(3802),
        numeric: type(1700, Number),
        timestamptz: type(1184, asPostgrest),
        timestamp: type(1114, asPostgrest),
      },
    },
  });
  connection.rlsState = "active"; // otherwise lite's first request grants everything to the API roles
  Object.assign(connection, {
    normalizeDbError,
    applyJwtSessionContext: asOwner ? applyOwnerContext : applyJwtSessionContext,
    applyRpcRequestGucs,
  });
  connection.driver.listen("pgrst", () => connection.clearSchemaCache());
  return connection;
}
