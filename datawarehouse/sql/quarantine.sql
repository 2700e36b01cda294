-- name: copy_quarantine
COPY quarantine (file_id, row_number, source_file, source_table, file_type, rejection_stage, rejection_reason, reasons,
                 raw_data)
FROM STDIN (FORMAT csv)

-- name: copy_orphan_wait
COPY orphan_wait (file_id, row_number, fk_column, source_table, parent_table, parent_key, own_keys)
FROM STDIN (FORMAT csv, FORCE_NULL (own_keys))

-- name: backup_files
SELECT quarantine_id, file_id, row_number, source_file, source_table, rejection_stage, rejection_reason,
       reasons::text, raw_data::text, quarantined_at
FROM quarantine
WHERE file_id = ANY (%(file_ids)s)
ORDER BY file_id, row_number

-- name: backup_day
SELECT quarantine_id, file_id, row_number, source_file, source_table, rejection_stage, rejection_reason,
       reasons::text, raw_data::text, quarantined_at
FROM quarantine
WHERE quarantined_at >= %(day)s::date::timestamp AT TIME ZONE 'UTC'
  AND quarantined_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
  AND file_type = %(feed)s
  AND file_id IN (SELECT l.file_id FROM pipeline_file_log l WHERE l.backup_written)
ORDER BY file_id, row_number

-- name: take_backup
-- Marks files as copied; gives those that were not yet.
UPDATE pipeline_file_log SET backup_written = true
WHERE file_id = ANY (%(file_ids)s) AND NOT backup_written RETURNING file_id

-- name: take_backup_day
UPDATE pipeline_file_log l SET backup_written = true
WHERE NOT l.backup_written
  AND l.file_type = %(feed)s
  AND (coalesce((SELECT q.quarantined_at FROM quarantine q WHERE q.file_id = l.file_id LIMIT 1), l.processed_at)
       AT TIME ZONE 'UTC')::date = %(day)s

-- name: backup_pending
-- A file that was undone has no rows any more: those in the backup go too.
SELECT DISTINCT l.file_type, (coalesce(q.quarantined_at, l.processed_at) AT TIME ZONE 'UTC')::date
FROM pipeline_file_log l
LEFT JOIN LATERAL (SELECT quarantined_at FROM quarantine q WHERE q.file_id = l.file_id LIMIT 1) q ON true
WHERE NOT l.backup_written

-- name: backup_days
SELECT DISTINCT file_type, (quarantined_at AT TIME ZONE 'UTC')::date FROM quarantine

-- name: satisfied
-- Open orphans of a table, or of some of its files, for whom a parent has come since, beyond one of them in their order.
-- Keys are compared in a type that holds all of them; and as text, as a load compares them: they may differ in blanks.
SELECT DISTINCT w.file_id, w.row_number
FROM orphan_wait w
WHERE w.source_table = {child} AND w.parent_table = {parent_table}
  AND ({file_ids}::bigint[] IS NULL OR w.file_id = ANY ({file_ids}::bigint[]))
  AND (w.file_id, w.row_number) > ({after_file}, {after_row})
  AND ({has_come})
ORDER BY w.file_id, w.row_number
LIMIT {limit}

-- name: waited_for
-- Open orphans of a table, or of some of its files, for whom other rows of their table wait.
SELECT DISTINCT w.file_id, w.row_number
FROM orphan_wait w
WHERE w.source_table = {child} AND w.parent_table = {child}
  AND ({file_ids}::bigint[] IS NULL OR w.file_id = ANY ({file_ids}::bigint[]))
  AND EXISTS (SELECT FROM jsonb_array_elements_text(w.own_keys) AS own (key)
              CROSS JOIN LATERAL (SELECT FROM orphan_wait c WHERE c.parent_table = {child} AND c.parent_key = own.key
                                  AND c.source_table = {child} LIMIT 1) AS c)
LIMIT {limit}

-- name: below
-- Orphans of a table, those that wait for them, those that wait for these, and so on; with all that each waits for.
WITH RECURSIVE below AS (
    SELECT * FROM unnest({file_ids}::bigint[], {row_numbers}::bigint[]) AS w (file_id, row_number)
    UNION
    SELECT child.file_id, child.row_number
    FROM below b
    CROSS JOIN LATERAL (SELECT own_keys FROM orphan_wait w WHERE w.file_id = b.file_id
                        AND w.row_number = b.row_number LIMIT 1) AS w
    CROSS JOIN LATERAL jsonb_array_elements_text(w.own_keys) AS own (key)
    CROSS JOIN LATERAL (SELECT * FROM orphan_wait c WHERE c.parent_table = {child} AND c.parent_key = own.key
                        AND c.source_table = {child} OFFSET 0) AS child
)
SELECT w.file_id, w.row_number, w.fk_column, w.parent_key, w.own_keys, {has_come}
FROM (SELECT * FROM below LIMIT {limit}) AS b
CROSS JOIN LATERAL (SELECT * FROM orphan_wait w WHERE w.file_id = b.file_id AND w.row_number = b.row_number
                    OFFSET 0) AS w

-- name: of_parent
w.parent_table = {parent_table} AND ({has_come})

-- name: has_come
EXISTS (SELECT FROM {parent} p WHERE {matches} AND {key}::text = w.parent_key OFFSET 0)

-- name: of_foreign_key
w.fk_column = {label} AND {has_come}

-- name: wanted_number
-- Text that is no number of eight bytes is nobody's key; a number that is written in another way is not, either, as it
-- is compared as text, too.
CASE WHEN pg_input_is_valid({text}, 'bigint') THEN ({text})::bigint END

-- name: wanted_number_before_16
-- The same for servers without pg_input_is_valid. Most are digits alone, which costs a fraction of a match.
CASE WHEN length({text}) BETWEEN 1 AND 18 AND ltrim({text}, '0123456789') = '' THEN ({text})::bigint
     WHEN {text} ~ '^-?[0-9]{{1,18}}$' THEN ({text})::bigint
     WHEN {text} ~ '^-?[0-9]{{19}}$' THEN
         CASE WHEN ({text})::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
             ({text})::bigint END END

-- name: wanted_text
({text})::{key_type}

-- name: wanted_part
-- Of a key of several columns, which waits as a JSON array. Before a key has come to have several it waited as it was.
CASE WHEN w.fk_column = {label} AND w.parent_key LIKE '[%]' THEN w.parent_key::json ->> {position} END

-- name: has_passed
-- Of rows that were refused once: loaded, or found to be there. `duplicate` is in quarantine of earlier versions only.
coalesce(resolution IN ('loaded', 'replayed', 'already_present', 'duplicate'), false)

-- name: passed
SELECT file_id, raw_data FROM quarantine WHERE file_id = ANY (%(file_ids)s) AND {has_passed}

-- name: counts_by_file
-- What quarantine has of each file: rows that are refused still, orphans, orphans and others that have passed since,
-- duplicates.
SELECT file_id, count(*) FILTER (WHERE NOT passed) AS quarantined, count(*) FILTER (WHERE orphan) AS orphans,
       count(*) FILTER (WHERE orphan AND passed) AS resolved_orphans,
       count(*) FILTER (WHERE passed AND NOT orphan) AS resolved_records,
       count(*) FILTER (WHERE duplicate) AS duplicates
FROM (SELECT file_id, rejection_stage = 'orphan' AS orphan, reasons -> 0 ->> 'rule' = 'duplicate' AS duplicate,
             {has_passed} AS passed
      FROM quarantine) q
GROUP BY file_id

-- name: counts_of_file
SELECT quarantined, orphans, resolved_orphans, resolved_records, duplicates
FROM ({counts_by_file}) AS c
WHERE file_id = {file_id}

-- name: promote
CALL promote_true_orphans(make_interval(secs => %(seconds)s))
