-- Rows that don't fit a step of a plan, on their way to quarantine (ingestion/set_aside.py). Words in braces are
-- identifiers, literals and expressions.

-- name: rows
SELECT t._file_id, {number}, {columns} FROM {table} AS t WHERE {condition}

-- name: said
-- What is to be taken back of a history, by file and key: some at a time, for later files may have told the same.
SELECT DISTINCT t._file_id, {key} FROM {table} AS t WHERE {condition} LIMIT {limit}

-- name: told
SELECT {number} FROM {table} AS t WHERE {condition}

-- name: remove
DELETE FROM {table} AS t WHERE {condition}

-- name: temporary_tables
SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'

-- name: passed
-- Rows of the file that came into the table out of quarantine.
SELECT quarantine_id, row_number, raw_data FROM quarantine
WHERE file_id = %(file_id)s AND resolution IN ('loaded', 'replayed')
ORDER BY quarantine_id

-- name: open_again
UPDATE quarantine q
SET resolution = NULL, resolved_at = NULL, rejection_stage = %(stage)s, rejection_reason = %(reason)s,
    reasons = %(reasons)s, raw_data = r.raw
FROM unnest(%(ids)s::bigint[], %(raws)s::jsonb[]) AS r (id, raw)
WHERE q.quarantine_id = r.id

-- name: numbers
SELECT row_number FROM quarantine WHERE file_id = %(file_id)s

-- name: by_number
SELECT quarantine_id FROM quarantine WHERE file_id = %(file_id)s AND row_number = ANY (%(numbers)s)

-- name: not_numbered
-- Rows of the file whose place in it is not known: they have numbers below 1.
SELECT quarantine_id, raw_data FROM quarantine WHERE file_id = %(file_id)s AND row_number < 1 ORDER BY quarantine_id

-- name: number
WITH numbered AS (
    UPDATE quarantine q SET row_number = n.number
    FROM unnest(%(ids)s::bigint[], %(numbers)s::bigint[]) AS n (id, number),
         (SELECT quarantine_id, row_number FROM quarantine WHERE quarantine_id = ANY (%(ids)s)) AS was
    WHERE q.quarantine_id = n.id AND was.quarantine_id = n.id
    RETURNING q.file_id, was.row_number AS former, n.number
)
UPDATE orphan_wait w SET row_number = n.number FROM numbered n
WHERE w.file_id = n.file_id AND w.row_number = n.former

-- name: move_books
-- A row that is refused now had been inserted, or had updated another, or was there already. In a table with updates
-- no row tells which: recount.settle_others() brings the sums of all files to what the table holds.
UPDATE pipeline_file_log l
SET valid_records = l.valid_records - n.rows,
    quarantined = l.quarantined + n.rows,
    inserted_records = l.inserted_records - n.inserted,
    updated_records = l.updated_records - n.updated,
    already_present = l.already_present - n.present,
    changed_records = least(l.changed_records, l.already_present - n.present),
    stale_records = least(l.stale_records,
                          l.already_present - n.present - least(l.changed_records, l.already_present - n.present)),
    orphan_count = l.orphan_count + %(orphans)s,
    resolved_orphans = l.resolved_orphans + %(resolved_orphans)s,
    resolved_records = l.resolved_records + %(resolved_records)s,
    duplicate_count = l.duplicate_count + %(duplicates)s,
    backup_written = false
FROM (SELECT file_id, rows, inserted, updated, rows - inserted - updated AS present
      FROM (SELECT file_id, rows, inserted, least(rows - inserted, updated_records) AS updated
            FROM (SELECT file_id, updated_records, %(rows)s::bigint AS rows,
                         least(%(rows)s::bigint, inserted_records) AS inserted
                  FROM pipeline_file_log WHERE file_id = %(file_id)s) a) b) n
WHERE l.file_id = n.file_id

-- name: waiting
-- Those that were set aside and not judged yet.
SELECT quarantine_id FROM quarantine
WHERE resolution IS NULL AND reasons -> 0 ->> 'rule' = %(rule)s
ORDER BY quarantine_id
