// The object storage API over lite's storage tables. lite's own differs from hosted Supabase in most answers that
// supabase-py reads (metadata, listing, signed links, content type), so this follows the hosted server instead:
// row-level security decides for the caller, the bytes lie in files named by version.
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";

// https://supabase.com/docs/guides/storage/uploads/file-limits
const safeKey = /^[A-Za-z0-9_/!.*'() &$=@;:+,?-]+$/;
const rolledBack = Symbol("probe");

class StorageError extends Error {
  constructor(status, error, message) {
    super(message);
    Object.assign(this, { status, error });
  }
}
const objectMissing = () => new StorageError(404, "not_found", "Object not found");

// Errors travel as HTTP 400 with the real status as text, as the hosted storage server sends them.
function errorResponse(error) {
  if (error.code === "42501") error = new StorageError(403, "Unauthorized", "new row violates row-level security policy");
  if (error.code === "23505") error = new StorageError(409, "Duplicate", "The resource already exists");
  if (/^ERR_J/.test(error.code ?? "")) error = new StorageError(403, "Unauthorized", error.message);
  if (!(error instanceof StorageError)) {
    console.error(error);
    return Response.json({ statusCode: "500", error: "Internal", message: "Internal Server Error" }, { status: 500 });
  }
  return Response.json({ statusCode: String(error.status), error: error.error, message: error.message }, { status: 400 });
}

export function storageApi({ sql, tokens, directory, sizeLimit }) {
  const fileOf = (version) => join(directory, version);

  const asCaller = (claims, work) => sql.begin(async (transaction) => {
    await transaction`select set_config('role', ${claims.role ?? "anon"}, true), set_config('statement_timeout', '8s', true),
      set_config('request.jwt.claims', ${JSON.stringify(claims)}, true), set_config('storage.allow_delete_query', 'true', true)`;
    return work(transaction);
  });

  async function bucketOf(id) {
    const [bucket] = await sql`select * from storage.buckets where id = ${id}`;
    if (!bucket) throw new StorageError(404, "Bucket not found", "Bucket not found");
    return bucket;
  }

  async function visibleObject(claims, bucket, key) {
    await bucketOf(bucket);
    const [object] = await asCaller(claims, (transaction) =>
      transaction`select * from storage.objects where bucket_id = ${bucket} and name = ${key}`);
    if (!object) throw objectMissing();
    return object;
  }

  // Whether the caller may write the row, found out by writing it and taking it back.
  async function probeWrite(claims, row, upsert) {
    try {
      await asCaller(claims, async (transaction) => {
        await transaction`insert into storage.objects ${transaction(row)}
          ${upsert ? transaction`on conflict (bucket_id, name) do update set version = excluded.version` : transaction``}`;
        throw rolledBack;
      });
    } catch (error) {
      if (error !== rolledBack) throw error;
    }
  }

  async function readUpload(request) {
    const type = request.headers.get("content-type") ?? "application/octet-stream";
    if (!type.startsWith("multipart/form-data")) {
      const encoded = request.headers.get("x-metadata");
      return { type, body: Readable.fromWeb(request.body), cacheControl: request.headers.get("cache-control") ?? "no-cache",
        userMetadata: encoded ? JSON.parse(Buffer.from(encoded, "base64")) : null };
    }
    const form = await request.formData();
    const file = [...form.values()].find((value) => typeof value !== "string");
    if (!file) throw new StorageError(400, "InvalidRequest", "The multipart body carries no file");
    return { type: file.type, body: Readable.fromWeb(file.stream()), size: file.size,
      cacheControl: `max-age=${form.get("cacheControl") ?? "3600"}`, userMetadata: JSON.parse(form.get("metadata") ?? "null") };
  }

  async function writeFile(version, body, limit) {
    const hash = createHash("md5");
    let size = 0;
    const measure = new Transform({ transform(chunk, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(size > limit ? new StorageError(413, "Payload too large", "The object exceeded the maximum allowed size") : null, chunk);
    } });
    try {
      await pipeline(body, measure, createWriteStream(fileOf(version)));
    } catch (error) {
      await rm(fileOf(version), { force: true });
      throw error;
    }
    return { eTag: `"${hash.digest("hex")}"`, size, contentLength: size };
  }

  async function upload(request, [bucketId, key]) {
    const claims = await tokens.caller(request);
    if (!safeKey.test(key)) throw new StorageError(400, "InvalidKey", `Invalid key: ${key}`);
    const bucket = await bucketOf(bucketId);
    const { type, body, size, cacheControl, userMetadata } = await readUpload(request);
    const limit = Math.min(bucket.file_size_limit ?? sizeLimit, sizeLimit);
    if (size > limit) throw new StorageError(413, "Payload too large", "The object exceeded the maximum allowed size");
    const mimetype = type.split(";")[0].trim();
    if (bucket.allowed_mime_types?.length && !bucket.allowed_mime_types.includes(mimetype))
      throw new StorageError(415, "invalid_mime_type", `mime type ${type} is not supported`);
    const owner = claims.sub ?? null, version = randomUUID();
    const row = { bucket_id: bucketId, name: key, owner, owner_id: owner, version, user_metadata: userMetadata };
    await probeWrite(claims, row, request.method === "PUT" || request.headers.get("x-upsert") === "true");
    const written = await writeFile(version, body, limit);
    const metadata = { ...written, mimetype: type, cacheControl, lastModified: new Date(), httpStatusCode: 200 };
    return Response.json({ Key: `${bucketId}/${key}`, Id: await record({ ...row, metadata }) });
  }

  // As when hosted: the row is written when the upload has ended, so of two simultaneous uploads the last one wins.
  async function record(row) {
    const { id, replaced } = await sql.begin(async (transaction) => {
      await transaction`select pg_advisory_xact_lock(hashtextextended(${`${row.bucket_id}/${row.name}`}, 0))`;
      const [before] = await transaction`select version from storage.objects where bucket_id = ${row.bucket_id} and name = ${row.name}`;
      const [after] = await transaction`insert into storage.objects ${transaction(row)} on conflict (bucket_id, name) do update
        set version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata,
          owner = excluded.owner, owner_id = excluded.owner_id, updated_at = now() returning id`;
      return { id: after.id, replaced: before?.version };
    });
    if (replaced) await rm(fileOf(replaced), { force: true });
    return id;
  }

  function send(object, request) {
    const headers = new Headers({ "content-type": object.metadata.mimetype, "content-length": String(object.metadata.size),
      etag: object.metadata.eTag, "cache-control": object.metadata.cacheControl });
    const name = new URL(request.url).searchParams.get("download");
    if (name !== null) {
      const encoded = encodeURIComponent(name);
      headers.set("content-disposition", name ? `attachment; filename=${encoded}; filename*=UTF-8''${encoded};` : "attachment");
    }
    // As hosted storage answers when a row has no bytes behind it.
    if (!existsSync(fileOf(object.version))) throw objectMissing();
    const body = request.method === "HEAD" ? null : Readable.toWeb(createReadStream(fileOf(object.version)));
    return new Response(body, { headers });
  }

  async function download(request, [bucket, key]) {
    return send(await visibleObject(await tokens.caller(request), bucket, key), request);
  }

  async function info(request, [bucket, key]) {
    const object = await visibleObject(await tokens.caller(request), bucket, key);
    return Response.json({ id: object.id, name: object.name, version: object.version, bucket_id: bucket,
      size: object.metadata.size, content_type: object.metadata.mimetype, cache_control: object.metadata.cacheControl,
      etag: object.metadata.eTag, metadata: object.user_metadata, last_modified: object.updated_at, created_at: object.created_at });
  }

  async function signedPath(claims, bucket, key, seconds) {
    await visibleObject(claims, bucket, key);
    const token = await tokens.sign({ url: `${bucket}/${key}` }, Number(seconds));
    return `/object/sign/${bucket}/${key.split("/").map(encodeURIComponent).join("/")}?token=${token}`;
  }

  async function sign(request, [bucket, key]) {
    const { expiresIn } = await request.json();
    return Response.json({ signedURL: await signedPath(await tokens.caller(request), bucket, key, expiresIn) });
  }

  async function signMany(request, [bucket]) {
    const { expiresIn, paths } = await request.json(), claims = await tokens.caller(request);
    return Response.json(await Promise.all(paths.map((path) => signedPath(claims, bucket, path, expiresIn).then(
      (signedURL) => ({ error: null, path, signedURL }),
      () => ({ error: "Either the object does not exist or you do not have access to it", path, signedURL: null })))));
  }

  async function downloadSigned(request, [bucket, key]) {
    const token = new URL(request.url).searchParams.get("token") ?? "";
    const { url } = await tokens.verify(token).catch((error) => {
      throw new StorageError(400, "InvalidJWT", error.message);
    });
    if (url !== `${bucket}/${key}`) throw new StorageError(400, "InvalidSignature", "The link was signed for another object");
    const [object] = await sql`select * from storage.objects where bucket_id = ${bucket} and name = ${key}`;
    if (!object) throw objectMissing();
    return send(object, request);
  }

  // One level of the folder tree: objects, and folders as rows without id.
  async function list(request, [bucket]) {
    const { prefix = "", search = "", limit = 100, offset = 0, sortBy } = await request.json();
    const folder = prefix.replace(/^\/+|\/+$/g, ""), at = folder && `${folder}/`;
    await bucketOf(bucket);
    const objects = await asCaller(await tokens.caller(request), (transaction) =>
      transaction`select * from storage.objects where bucket_id = ${bucket} and starts_with(name, ${at}) order by name`);
    const entries = new Map();
    for (const { id, name, created_at, updated_at, last_accessed_at, metadata } of objects) {
      const [head, ...rest] = name.slice(at.length).split("/");
      entries.set(head, rest.length
        ? { name: head, id: null, created_at: null, updated_at: null, last_accessed_at: null, metadata: null }
        : { name: head, id, created_at, updated_at, last_accessed_at, metadata });
    }
    const { column = "name", order = "asc" } = sortBy ?? {}, sign = order === "desc" ? -1 : 1;
    const found = [...entries.values()].filter(({ name }) => name.includes(search))
      .sort((a, b) => sign * String(a[column]).localeCompare(String(b[column])));
    return Response.json(found.slice(offset, offset + limit));
  }

  async function remove(request, [bucket]) {
    const { prefixes } = await request.json(), claims = await tokens.caller(request);
    await bucketOf(bucket);
    const removed = await asCaller(claims, (transaction) => transaction`delete from storage.objects
      where bucket_id = ${bucket} and name = any(${prefixes}) returning *`);
    await Promise.all(removed.map(({ version }) => rm(fileOf(version), { force: true })));
    return Response.json(removed);
  }

  async function buckets(request, [bucket]) {
    const rows = await asCaller(await tokens.caller(request), (transaction) =>
      transaction`select * from storage.buckets where ${bucket ?? null}::text is null or id = ${bucket ?? null}`);
    if (bucket && !rows.length) throw new StorageError(404, "Bucket not found", "Bucket not found");
    return Response.json(bucket ? rows[0] : rows);
  }

  const routes = [
    ["GET", /^\/bucket(?:\/([^/]+))?$/, buckets],
    ["GET", /^\/object\/sign\/([^/]+)\/(.+)$/, downloadSigned],
    ["POST", /^\/object\/sign\/([^/]+)\/(.+)$/, sign],
    ["POST", /^\/object\/sign\/([^/]+)$/, signMany],
    ["POST", /^\/object\/list\/([^/]+)$/, list],
    ["GET", /^\/object\/info\/(?:authenticated\/)?([^/]+)\/(.+)$/, info],
    ["GET", /^\/object\/(?:authenticated\/)?([^/]+)\/(.+)$/, download],
    ["POST", /^\/object\/([^/]+)\/(.+)$/, upload],
    ["PUT", /^\/object\/([^/]+)\/(.+)$/, upload],
    ["DELETE", /^\/object\/([^/]+)$/, remove],
  ];

  return async (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname.slice("/storage/v1".length));
    const method = request.method === "HEAD" ? "GET" : request.method;
    try {
      await mkdir(directory, { recursive: true });
      for (const [verb, pattern, handle] of routes) {
        const match = verb === method && pattern.exec(path);
        if (match) return await handle(request, match.slice(1));
      }
      throw new StorageError(404, "Not Found", `Route ${request.method}:${path} not found`);
    } catch (error) {
      return errorResponse(error);
    }
  };
}
