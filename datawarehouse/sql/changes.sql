-- Steps of a plan (datawarehouse/schema). Words in braces are identifiers, literals and expressions.

-- name: rename_table
UPDATE pipeline_file_log SET source_table = {new} WHERE source_table = {old};
UPDATE quarantine SET source_table = {new} WHERE source_table = {old};
UPDATE true_orphan SET source_table = {new} WHERE source_table = {old};
UPDATE orphan_wait SET source_table = {new} WHERE source_table = {old};
UPDATE orphan_wait SET parent_table = {new} WHERE parent_table = {old};
UPDATE erased SET source_table = {new} WHERE source_table = {old};
UPDATE pipeline_meta SET key = left(key, -length({old})) || {new}
WHERE key IN ('history of ' || {old}, 'moves of ' || {old}, 'history left of ' || {old});
UPDATE pipeline_meta SET value = replace(value, '"' || {old} || '.', '"' || {new} || '.') WHERE key = 'pii_columns'

-- name: read_values
DROP TABLE IF EXISTS pg_temp.read_values;
CREATE TEMPORARY TABLE read_values (source text NOT NULL, stored text) ON COMMIT DROP

-- name: add_read_values
INSERT INTO pg_temp.read_values SELECT * FROM unnest(%(sources)s::text[], %(stored)s::text[])

-- name: as_read
CREATE INDEX ON pg_temp.read_values USING hash (source);
ANALYZE pg_temp.read_values;
CREATE OR REPLACE FUNCTION pg_temp.as_read(text) RETURNS text LANGUAGE sql STABLE AS
'SELECT stored FROM pg_temp.read_values WHERE source = $1'

-- name: patience
SET LOCAL lock_timeout = '{seconds}s';
SET LOCAL statement_timeout = 0

-- name: lock
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE
