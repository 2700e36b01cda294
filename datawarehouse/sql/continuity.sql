-- name: ask
-- Which tables and which database these are, whether somebody restores them now, and how many of the contents that
-- were loaded the file log knows.
SELECT 'pipeline_file_log'::regclass::oid::bigint, (SELECT value FROM pipeline_meta WHERE key = 'warehouse_id'),
       EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'pg_restore'),
       (SELECT count(*)
        FROM unnest(%(names)s::text[], %(hashes)s::text[], %(sizes)s::bigint[]) AS mark (name, hash, size)
        WHERE EXISTS (SELECT FROM pipeline_file_log l
                      WHERE l.logical_name = mark.name AND l.file_hash = mark.hash AND l.file_size = mark.size))

-- name: newest
-- The file that was logged last.
SELECT logical_name, file_hash, file_size FROM pipeline_file_log ORDER BY file_id DESC LIMIT 1

-- name: contents
SELECT file_hash, status FROM pipeline_file_log

-- name: is_empty
-- Is none of these tables there, and nobody about to restore them?
SELECT NOT EXISTS (SELECT FROM pg_class c
                   WHERE c.relname = ANY (%(tables)s) AND c.relnamespace = current_schema()::regnamespace)
   AND NOT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name IN ('pg_restore', 'psql'))
