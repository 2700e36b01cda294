-- name: has_table
SELECT EXISTS (SELECT FROM pg_class WHERE relname = %(table)s AND relnamespace = current_schema()::regnamespace
               AND relkind IN ('r', 'p'))

-- name: recorded
SELECT substr(key, 11)::integer, value::jsonb ->> 'by' FROM pipeline_meta WHERE key ~ '^migration [0-9]+$'

-- name: record
-- By its moment too: when the database was upgraded.
INSERT INTO pipeline_meta (key, value)
VALUES ('migration ' || %(number)s, (%(value)s::jsonb || jsonb_build_object('at', now()))::text)
ON CONFLICT DO NOTHING

-- name: record_version
INSERT INTO pipeline_meta AS m (key, value) VALUES ('code_version', %(version)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE m.value <> excluded.value
