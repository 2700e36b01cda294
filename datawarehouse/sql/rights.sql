-- name: missing
-- What the role lacks, one row each: what it is, or an empty text and the table, privilege and column. A table that
-- is not there counts as lacking.
SELECT '' AS what, wanted.name, wanted.privilege, wanted.col
FROM unnest(%(tables)s::text[], %(privileges)s::text[], %(columns)s::text[]) AS wanted (name, privilege, col)
LEFT JOIN pg_class c ON c.relname = wanted.name AND c.relkind IN ('r', 'p')
    AND c.relnamespace = current_schema()::regnamespace
WHERE CASE WHEN wanted.col IS NULL THEN has_table_privilege(c.oid, wanted.privilege)
           ELSE has_column_privilege(c.oid, wanted.col, wanted.privilege) END IS NOT TRUE
UNION ALL
SELECT 'TEMPORARY on the database', NULL, NULL, NULL
WHERE NOT has_database_privilege(current_database(), 'TEMP')
UNION ALL
SELECT 'USAGE on the sequence of pipeline_file_log.file_id', NULL, NULL, NULL
FROM pg_class c
WHERE c.oid = pg_get_serial_sequence('pipeline_file_log', 'file_id')::regclass
  AND NOT has_sequence_privilege(c.oid, 'USAGE')
UNION ALL
SELECT 'EXECUTE on the procedure promote_true_orphans', NULL, NULL, NULL
FROM pg_proc p
WHERE p.proname = 'promote_true_orphans' AND p.pronamespace = current_schema()::regnamespace
  AND NOT has_function_privilege(p.oid, 'EXECUTE')

-- name: absent
-- Of these tables, those that are not there.
SELECT wanted.name
FROM unnest(%(tables)s::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_class c
                  WHERE c.relname = wanted.name AND c.relkind IN ('r', 'p')
                    AND c.relnamespace = current_schema()::regnamespace)
ORDER BY wanted.name

-- name: procedure
-- The body of the stored procedure that is there, and whether this role may replace it.
SELECT p.prosrc, pg_has_role(p.proowner, 'USAGE')
FROM pg_proc p
WHERE p.proname = 'promote_true_orphans' AND p.pronamespace = current_schema()::regnamespace

-- name: may_create
SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)

-- name: owned
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND pg_has_role(c.relowner, 'USAGE')

-- name: may_replace_view
SELECT coalesce(
    (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c
     WHERE c.relname = %(view)s AND c.relnamespace = current_schema()::regnamespace),
    has_schema_privilege(current_schema(), 'CREATE'), false)

-- name: existing_views
SELECT relname FROM pg_class
WHERE relname = ANY (%(names)s) AND relkind = 'v' AND relnamespace = current_schema()::regnamespace
