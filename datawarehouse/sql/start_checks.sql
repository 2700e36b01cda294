-- name: newest_file
SELECT max(processed_at) FROM pipeline_file_log

-- name: pii_key
-- The key's id, and whether anything may have been hashed with it: not while no column has ever been `pii`.
SELECT (SELECT value FROM pipeline_meta WHERE key = 'pii_key_id'),
       EXISTS (SELECT FROM pipeline_file_log WHERE status = 'success')
       AND NOT EXISTS (SELECT FROM pipeline_meta WHERE key = 'pii_columns' AND value = '[]'
                       AND NOT EXISTS (SELECT FROM pipeline_meta WHERE key = 'pii_once'))

-- name: remember_pii_key
INSERT INTO pipeline_meta (key, value) VALUES ('pii_key_id', %(key_id)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: connections
-- How many connections there may be for this role and database; reserved_connections is of PostgreSQL 16.
SELECT least(
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))
