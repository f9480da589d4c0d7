// Who calls: the role and claims behind an API key or a user's token.
import { createHmac } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";

export function tokenAuthority({ secret, publishableKey, secretKey }) {
  const key = new TextEncoder().encode(secret);
  const roles = { [publishableKey]: "anon", [secretKey]: "service_role" };
  const bearer = (request) => request.headers.get("authorization")?.match(/^Bearer\s+(.+)$/i)?.[1];

  return {
    bearer,
    isKey: (text) => text in roles,
    // Claims of the caller; throws what jose throws for a token that is expired, foreign or no token.
    async caller(request) {
      const token = bearer(request) ?? request.headers.get("apikey") ?? "";
      if (token in roles) return { role: roles[token] };
      if (token === "") return { role: "anon" };
      return (await jwtVerify(token, key, { algorithms: ["HS256"] })).payload;
    },
    sign: (claims, seconds) =>
      new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).setIssuedAt()
        .setExpirationTime(Math.floor(Date.now() / 1000) + seconds).sign(key),
    verify: async (token) => (await jwtVerify(token, key, { algorithms: ["HS256"] })).payload,
    // Adds claims to a signed token without touching its times.
    resign(token, extra) {
      const [header, payload] = token.split(".");
      const claims = { ...JSON.parse(Buffer.from(payload, "base64url")), ...extra };
      const body = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
      return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
    },
  };
}
