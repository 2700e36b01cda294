-- Columns that the configuration calls pii, and that hold clear values of the time before it did.

-- name: lock
-- Of two that start, one masks; nobody is erased meanwhile, and no file of persons is loaded.
SELECT pg_advisory_xact_lock(hashtext('fastfeast late pii')), pg_advisory_xact_lock(hashtext('fastfeast erasure'))

-- name: known_columns
SELECT value FROM pipeline_meta WHERE key = 'pii_columns'

-- name: remember_once
-- Values were hashed of columns that `pii_columns` does not name: no more, or not before the next start.
INSERT INTO pipeline_meta (key, value) VALUES ('pii_once', 'true') ON CONFLICT DO NOTHING

-- name: remember_columns
INSERT INTO pipeline_meta (key, value) VALUES ('pii_columns', %(columns)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: owned
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND pg_has_role(relowner, 'USAGE')

-- name: refused_rows
SELECT quarantine_id, file_id, file_type, rejection_stage = 'orphan', raw_data
FROM quarantine
WHERE source_table = %(table)s AND quarantine_id > %(after)s
ORDER BY quarantine_id
LIMIT %(limit)s

-- name: set_raw
UPDATE quarantine q SET raw_data = m.raw
FROM unnest(%(ids)s::bigint[], %(raws)s::jsonb[]) AS m (id, raw)
WHERE q.quarantine_id = m.id

-- name: set_raw_true_orphan
UPDATE true_orphan t SET raw_data = m.raw
FROM unnest(%(ids)s::bigint[], %(raws)s::jsonb[]) AS m (id, raw)
WHERE t.quarantine_id = m.id

-- name: edits
SELECT h.history_id, q.file_type, h.changes
FROM quarantine_history h
JOIN quarantine q ON q.quarantine_id = h.quarantine_id
WHERE q.source_table = %(table)s AND h.changes <> '{}'

-- name: set_changes
UPDATE quarantine_history SET changes = %(changes)s WHERE history_id = %(id)s

-- name: clear_values
-- Words in braces are identifiers.
SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL AND {column} !~ %(hashed)s AND {column} <> %(erased)s

-- name: extras
-- What rows have of columns that the schema has not, as texts of JSON.
SELECT DISTINCT {column}::text FROM {table} WHERE {column} IS NOT NULL

-- name: masks
CREATE TEMPORARY TABLE late_pii_masks (value text NOT NULL, masked text NOT NULL) ON COMMIT DROP

-- name: add_masks
INSERT INTO late_pii_masks SELECT * FROM unnest(%(values)s::text[], %(masked)s::text[])

-- name: analyze
ANALYZE late_pii_masks

-- name: mask_rows
UPDATE {table} t SET {column} = m.masked{cast} FROM late_pii_masks m WHERE t.{column}{text} = m.value
