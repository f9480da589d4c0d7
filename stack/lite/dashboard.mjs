// lite's table editor, for the person who started the stack. As in a hosted project it works as the database's owner,
// without a token: so it has an address of its own, and a cookie that only the printed link gives.
import { createHash, timingSafeEqual } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { App } from "@supabase/lite";
import { Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";

const digest = (text) => createHash("sha256").update(text ?? "").digest();
const cookieName = "dashboard";

export async function serveDashboard({ connection, port, token, publishableKey, secretKey, jwtSecret }) {
  const app = new App({
    connection,
    api: { schemas: ["public"], max_rows: 1000 },
    db: { driver: "postgres", migrations: { enabled: false } },
    auth: { enabled: true, site_url: `http://127.0.0.1:${port}`, jwt_secret: jwtSecret, publishable_key: publishableKey, secret_key: secretKey },
    storage: { enabled: false },
    options: { server: { admin: true } },
  });
  await app.init();
  const isAllowed = (text) => timingSafeEqual(digest(text), digest(token));
  const assets = join(dirname(fileURLToPath(import.meta.resolve("@supabase/lite"))));
  return serve({
    hostname: "127.0.0.1",
    port,
    fetch: new Hono()
      .use("*", async (context, next) => {
        if (isAllowed(context.req.query("token"))) {
          setCookie(context, cookieName, token, { httpOnly: true, sameSite: "Strict", path: "/" });
          return context.redirect("/");
        }
        if (!isAllowed(getCookie(context, cookieName))) return context.text("Open the link that `make up` printed.", 403);
        return next();
      })
      .get("/_system/info", (context) => context.json({ admin: true })) // lite's own answer shows the database's password
      .use("/static/*", serveStatic({ root: assets }))
      .all("*", (context) => app.fetch(context.req.raw, { peerAddress: "127.0.0.1" })).fetch,
  });
}
