// The embedded Supabase: data API, login and dashboard by lite, storage beside it. Configured by environment only.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { App } from "@supabase/lite";
import { Hono } from "hono";
import { serveDashboard } from "./dashboard.mjs";
import { connect } from "./database.mjs";
import { storageApi } from "./storage.mjs";
import { tokenAuthority } from "./tokens.mjs";

const { DATABASE_URL, PORT, JWT_SECRET, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, STORAGE_DIRECTORY, POOL_SIZE,
  DASHBOARD_PORT, DASHBOARD_TOKEN } = process.env;
const url = `http://127.0.0.1:${PORT}`;
const connection = connect(DATABASE_URL, Number(POOL_SIZE));
const tokens = tokenAuthority({ secret: JWT_SECRET, publishableKey: SUPABASE_PUBLISHABLE_KEY, secretKey: SUPABASE_SECRET_KEY });
const storage = storageApi({ sql: connection.driver, tokens, directory: STORAGE_DIRECTORY, sizeLimit: 200 * 2 ** 20 });

const app = new App({
  connection,
  api: { schemas: ["public"], max_rows: 1000 },
  db: { driver: "postgres", migrations: { enabled: false } },
  auth: {
    enabled: true, site_url: url, enable_signup: true, jwt_expiry: 3600, jwt_secret: JWT_SECRET,
    publishable_key: SUPABASE_PUBLISHABLE_KEY, secret_key: SUPABASE_SECRET_KEY, email: { enable_confirmations: false },
  },
  storage: { enabled: false },
  options: { server: { admin: false } }, // lite would make keyless requests from this machine service_role
});
await app.init();

// Hosted tokens carry these claims, lite's do not.
async function login(request) {
  const response = await app.fetch(request, { peerAddress: null });
  if (!response.ok || request.method !== "POST" || !/\/(token|signup|verify)$/.test(new URL(request.url).pathname)) return response;
  const session = await response.json();
  if (!session.access_token) return Response.json(session, { status: response.status });
  const { app_metadata, user_metadata } = session.user;
  const amr = [{ method: "password", timestamp: Math.floor(Date.now() / 1000) }];
  session.access_token = tokens.resign(session.access_token,
    { iss: `${url}/auth/v1`, aal: "aal1", amr, phone: "", is_anonymous: false, app_metadata, user_metadata });
  return Response.json(session, { status: response.status });
}

// lite takes a Bearer text that is no token at all for an anonymous caller; PostgREST refuses it.
async function data(request) {
  const token = tokens.bearer(request);
  if (token && !tokens.isKey(token) && token.split(".").length !== 3)
    return Response.json({ code: "PGRST301", message: "Expected 3 parts in JWT", details: null, hint: null }, { status: 401 });
  return app.fetch(request, { peerAddress: null });
}

const assets = join(dirname(fileURLToPath(import.meta.resolve("@supabase/lite"))));
const server = serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  fetch: new Hono()
    .all("/storage/v1/*", (context) => storage(context.req.raw))
    .all("/auth/v1/*", (context) => login(context.req.raw))
    .all("/rest/v1/*", (context) => data(context.req.raw))
    .all("/_system/*", (context) => context.notFound()) // shows the database's address to anybody
    .use("/static/*", serveStatic({ root: assets }))
    .all("*", (context) => app.fetch(context.req.raw, { peerAddress: null })).fetch,
}, () => console.log(`listening on ${url}`));
server.keepAliveTimeout = 75_000; // longer than any client's, so that none finds its idle connection closed

const ownerConnection = connect(DATABASE_URL, 5, { asOwner: true });
const dashboard = await serveDashboard({ connection: ownerConnection, port: Number(DASHBOARD_PORT), token: DASHBOARD_TOKEN,
  publishableKey: SUPABASE_PUBLISHABLE_KEY, secretKey: SUPABASE_SECRET_KEY, jwtSecret: JWT_SECRET });

process.on("SIGTERM", () => {
  server.close();
  dashboard.close();
  Promise.allSettled([connection.close(), ownerConnection.close()]).finally(() => process.exit(0));
});
