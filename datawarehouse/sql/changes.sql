-- Steps of a plan (datawarehouse/schema). Words in braces are identifiers, literals and expressions.

-- name: rename_table
UPDATE pipeline_file_log SET source_table = {new} WHERE source_table = {old};
UPDATE pipeline_file_log SET backup_written = false
WHERE file_id IN (SELECT file_id FROM quarantine WHERE source_table = {old});
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

-- name: readers
-- Views that read these tables, those that read other views first, with what makes them anew: no column changes under
-- a view. `privileges` are the grants on it.
WITH RECURSIVE reading (oid, depth) AS (
    SELECT r.ev_class, 1 FROM pg_depend d
    JOIN pg_rewrite r ON r.oid = d.objid
    JOIN pg_class t ON t.oid = d.refobjid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
      AND t.relname = ANY (%(tables)s) AND t.relnamespace = current_schema()::regnamespace
    UNION
    SELECT r.ev_class, reading.depth + 1 FROM reading
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reading.oid
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass AND r.ev_class <> d.refobjid
)
SELECT v.oid::regclass::text, v.relkind::text, pg_has_role(v.relowner, 'USAGE'), pg_get_viewdef(v.oid),
       coalesce((SELECT string_agg(format('GRANT %%s ON %%s TO %%s', a.privilege_type, v.oid::regclass,
                                          CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END), '; ')
                 FROM aclexplode(v.relacl) AS a LEFT JOIN pg_roles g ON g.oid = a.grantee
                 WHERE a.grantee <> v.relowner), '')
FROM reading JOIN pg_class v ON v.oid = reading.oid
GROUP BY v.oid, v.relkind, v.relowner, v.relacl
ORDER BY max(depth) DESC, 1
