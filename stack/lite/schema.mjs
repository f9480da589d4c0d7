// Prints lite's own tables of auth and storage as SQL.
import { getAuthSchemaSql, getStorageSchemaSql } from "@supabase/lite";

console.log({ auth: getAuthSchemaSql, storage: getStorageSchemaSql }[process.argv[2]]());
