-- In which columns files differed from their schemas, and what became of that.

-- name: note
-- One row for each change that is given; those that nobody has met before come back.
WITH met AS (
    INSERT INTO drift AS d (logical_name, column_name, kind, looks_like, first_seen_at, last_seen_at,
                            files, rows, first_file, last_file)
    SELECT c.logical_name, c.column_name, c.kind, c.looks_like, now(), now(), 1, c.rows, %(file)s, %(file)s
    FROM unnest(%(types)s::text[], %(columns)s::text[], %(kinds)s::text[], %(looks_like)s::text[],
                %(rows)s::bigint[]) AS c (logical_name, column_name, kind, looks_like, rows)
    ORDER BY c.logical_name, c.column_name, c.kind  -- two that note the same lock in one order
    ON CONFLICT (logical_name, column_name, kind) DO UPDATE
    SET files = d.files + 1, rows = d.rows + excluded.rows, last_seen_at = now(), last_file = excluded.last_file,
        looks_like = coalesce(excluded.looks_like, d.looks_like),
        first_file = CASE WHEN d.files = 0 THEN excluded.first_file ELSE d.first_file END
    RETURNING d.logical_name, d.column_name, d.kind, d.files = 1 AS is_new
)
SELECT logical_name, column_name, kind FROM met WHERE is_new ORDER BY logical_name, column_name, kind

-- name: met
SELECT logical_name, column_name, kind, looks_like, first_seen_at, last_seen_at, files, rows, first_file, last_file
FROM drift
WHERE %(logical_name)s::text IS NULL OR logical_name = %(logical_name)s
ORDER BY logical_name, first_seen_at, column_name, kind

-- name: added
-- The columns that a table has got for new ones of its files, in the order of their names.
SELECT d.column_name FROM drift d
JOIN pg_attribute a ON a.attname = d.column_name AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_class c ON c.oid = a.attrelid AND c.relname = %(table)s AND c.relnamespace = current_schema()::regnamespace
WHERE d.logical_name = %(logical_name)s AND d.kind = 'added'
ORDER BY d.column_name

-- name: note_added
-- Before the file is loaded: from now on the column is known, whoever loads.
INSERT INTO drift (logical_name, column_name, kind, first_seen_at, last_seen_at, files, rows, first_file, last_file)
SELECT %(logical_name)s, name, %(kind)s, now(), now(), 0, 0, '', '' FROM unnest(%(columns)s::text[]) AS c (name)
ORDER BY name
ON CONFLICT DO NOTHING

-- name: may_wait
SET LOCAL lock_timeout = '5s'
