-- What command line, metrics and dashboard read of the pipeline's own tables. Times are timestamptz.

-- name: has_tables
SELECT to_regclass('pipeline_file_log') IS NOT NULL AND to_regclass('quarantine') IS NOT NULL

-- name: files
-- A filter that is null does not filter. Newest first; the next page begins before the last file_id of this one.
SELECT file_id, processed_at, file_name, file_path, file_type, logical_name, source_table, status, total_records,
       inserted_records, already_present, updated_records, quarantined, rejection_stage, duration_ms, error
FROM pipeline_file_log
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(logical_name)s::text IS NULL OR logical_name = %(logical_name)s)
  AND (%(file_type)s::text IS NULL OR file_type = %(file_type)s)
  AND (%(text)s::text IS NULL OR position(lower(%(text)s) IN lower(file_path)) > 0)
  AND (%(since)s::timestamptz IS NULL OR processed_at >= %(since)s)
  AND (%(before_id)s::bigint IS NULL OR file_id < %(before_id)s)
ORDER BY file_id DESC
LIMIT %(limit)s

-- name: file
SELECT * FROM pipeline_file_log WHERE file_id = %(file_id)s

-- name: quarantined
-- A filter that is null does not filter; `rule` is the name of a reason. Newest first, as for files.
SELECT quarantine_id, quarantined_at, file_id, row_number, source_file, source_table, file_type, rejection_stage,
       rejection_reason, reasons, raw_data, resolution, resolved_at, retry_count
FROM quarantine
WHERE (%(file_id)s::bigint IS NULL OR file_id = %(file_id)s)
  AND (%(table)s::text IS NULL OR source_table = %(table)s)
  AND (%(stage)s::text IS NULL OR rejection_stage = %(stage)s)
  AND (%(rule)s::text IS NULL OR reasons @> jsonb_build_array(jsonb_build_object('rule', %(rule)s::text)))
  AND (%(text)s::text IS NULL OR position(lower(%(text)s) IN lower(source_file || ' ' || raw_data::text)) > 0)
  AND (%(since)s::timestamptz IS NULL OR quarantined_at >= %(since)s)
  AND (%(open_only)s IS NOT TRUE OR resolution IS NULL)
  AND (%(before_id)s::bigint IS NULL OR quarantine_id < %(before_id)s)
ORDER BY quarantine_id DESC
LIMIT %(limit)s

-- name: reasons
-- Open quarantined rows by table, stage, rule and column; a row counts under each of its reasons. Few rows differ in
-- their sets of reasons, so the sets are counted first, and taken apart then.
SELECT q.source_table, r.reason ->> 'stage' AS stage, r.reason ->> 'rule' AS rule, r.reason ->> 'column' AS "column",
       sum(q.rows)::bigint AS rows
FROM (SELECT source_table, reasons, count(*) AS rows
      FROM quarantine
      WHERE resolution IS NULL
        AND (%(file_id)s::bigint IS NULL OR file_id = %(file_id)s)
        AND (%(since)s::timestamptz IS NULL OR quarantined_at >= %(since)s)
      GROUP BY 1, 2) q
CROSS JOIN LATERAL jsonb_array_elements(q.reasons) AS r (reason)
GROUP BY 1, 2, 3, 4
ORDER BY rows DESC, 1, 2, 3, 4
LIMIT %(limit)s

-- name: orphans
-- Orphans by table and by what became of them: open, loaded, already_present, duplicate, true_orphan,
-- replayed, discarded.
SELECT source_table, coalesce(resolution, 'open') AS state, count(*) AS rows, min(quarantined_at) AS oldest
FROM quarantine
WHERE rejection_stage = 'orphan'
GROUP BY 1, 2
ORDER BY 1, 2

-- name: breaches
-- Broken contracts, newest first.
SELECT breach_id, opened_at, resolved_at, kind, file_type, file, day, detail
FROM contract_breach
WHERE %(open_only)s IS NOT TRUE OR resolved_at IS NULL
ORDER BY breach_id DESC
LIMIT %(limit)s

-- name: failed_files
-- By type: files that failed in the last month, and whose path brought no good file since. Of very many, the newest.
SELECT f.logical_name, count(*) AS files, min(f.processed_at) AS since,
       mode() WITHIN GROUP (ORDER BY f.error) AS error,
       (array_agg(f.file_path ORDER BY f.file_id DESC))[1:3] AS paths,
       (array_agg(f.file_id ORDER BY f.file_id DESC))[1:3] AS file_ids
FROM (SELECT file_id, logical_name, file_path, processed_at, error FROM pipeline_file_log
      WHERE status = 'failed' ORDER BY file_id DESC LIMIT 10000) AS f
WHERE f.processed_at > now() - interval '30 days'
  AND NOT EXISTS (SELECT FROM pipeline_file_log later
                  WHERE later.file_path = f.file_path AND later.status = 'success' AND later.file_id > f.file_id)
GROUP BY 1
ORDER BY max(f.file_id) DESC
LIMIT %(limit)s

-- name: refused_files
-- By type: files of the last month of which each row was refused and some still are, and whose path brought no good
-- row since. Orphans alone don't count before they are given up, after `hours`.
SELECT f.logical_name, count(*) AS files, min(f.processed_at) AS since, sum(f.quarantined)::bigint AS rows,
       (SELECT rejection_reason FROM quarantine WHERE file_id = max(f.file_id) ORDER BY row_number LIMIT 1) AS reason,
       (array_agg(f.file_path ORDER BY f.file_id DESC))[1:3] AS paths,
       (array_agg(f.file_id ORDER BY f.file_id DESC))[1:3] AS file_ids
FROM (SELECT file_id, logical_name, file_path, processed_at, quarantined, orphan_count - resolved_orphans AS orphans
      FROM pipeline_file_log
      WHERE status = 'success' AND valid_records = 0 AND total_records > 0 ORDER BY file_id DESC LIMIT 10000) AS f
WHERE f.processed_at > now() - interval '30 days'
  AND NOT (f.orphans = f.quarantined AND f.processed_at > now() - make_interval(secs => %(hours)s * 3600))
  AND NOT EXISTS (SELECT FROM pipeline_file_log later
                  WHERE later.file_path = f.file_path AND later.status = 'success' AND later.file_id > f.file_id
                    AND (later.valid_records > 0 OR later.total_records = 0))
  AND EXISTS (SELECT FROM quarantine q
              WHERE q.file_id = f.file_id AND (q.resolution IS NULL OR q.resolution = 'true_orphan'))
GROUP BY 1
ORDER BY max(f.file_id) DESC
LIMIT %(limit)s

-- name: last_files_refused
-- Of the types `names` those whose last loaded file has more than `above` refused rows.
SELECT type.logical_name
FROM unnest(%(names)s::text[]) AS type (logical_name)
CROSS JOIN LATERAL (SELECT quarantined FROM pipeline_file_log AS f
                    WHERE f.logical_name = type.logical_name AND f.status = 'success'
                    ORDER BY f.file_id DESC LIMIT 1) AS last
WHERE last.quarantined > %(above)s

-- name: first_refused
-- The first refused rows of a file.
SELECT row_number, reasons, raw_data FROM quarantine
WHERE file_id = %(file_id)s
ORDER BY row_number
LIMIT %(limit)s

-- name: orphans_of_file
-- The orphans of one file by what became of them.
SELECT coalesce(resolution, 'open') AS state, count(*) AS rows, min(row_number) AS first_row,
       max(retry_count) AS retries, max(resolved_at) AS resolved_at
FROM quarantine
WHERE file_id = %(file_id)s AND rejection_stage = 'orphan'
GROUP BY 1
ORDER BY 1

-- name: waits_of_file
-- Which parents the open orphans of one file wait for.
SELECT fk_column AS "column", parent_table, parent_key, count(*) AS rows, min(row_number) AS first_row
FROM orphan_wait
WHERE file_id = %(file_id)s
GROUP BY 1, 2, 3
ORDER BY rows DESC, 1, 2, 3
LIMIT %(limit)s

-- name: waits_of_row
SELECT fk_column AS "column", parent_table, parent_key
FROM orphan_wait
WHERE file_id = %(file_id)s AND row_number = %(row_number)s
ORDER BY 1

-- name: contents
-- Which of the given contents (sizes in bytes) were dealt with, by type, MD5 and size.
SELECT logical_name, file_hash, file_size
FROM pipeline_file_log
WHERE file_size = ANY(%(sizes)s::bigint[])

-- name: same_content
SELECT file_id, status FROM pipeline_file_log
WHERE logical_name = %(logical_name)s AND file_hash = %(md5)s AND file_size = %(size)s

-- name: last_load
SELECT max(processed_at) AS at, extract(epoch FROM now() - max(processed_at))::float8 AS seconds_ago
FROM pipeline_file_log
WHERE status = 'success'

-- name: refused_with_key
-- Rows of a table, in quarantine, with a key, whose `columns` have values: as they were written, hashed, or as a whole
-- number is meant.
SELECT q.file_id, q.row_number, q.source_file, q.rejection_stage, q.rejection_reason, q.quarantined_at,
       q.resolution, q.resolved_at, q.retry_count
FROM quarantine q
WHERE q.source_table = %(table)s
  AND NOT EXISTS (
    SELECT FROM unnest(%(keys)s::text[], %(hashes)s::text[], %(numbers)s::text[])
        WITH ORDINALITY AS k (key, hashed, number, part)
    LEFT JOIN LATERAL (SELECT trim(q.raw_data ->> n.name) AS key
                       FROM unnest(%(names)s::text[], %(parts)s::int[]) WITH ORDINALITY AS n (name, part, place)
                       WHERE n.part = k.part AND jsonb_exists(q.raw_data, n.name)
                       ORDER BY n.place
                       LIMIT 1) AS r ON true
    WHERE NOT coalesce(r.key IN (k.key, k.hashed), false)
      AND NOT coalesce(regexp_replace(r.key, '^[+]?0*([0-9]+)([.]0+)?$', '\1') = k.number, false))
ORDER BY q.quarantine_id

-- name: refused_at_row
SELECT q.file_id, q.row_number, q.source_file, q.rejection_stage, q.rejection_reason, q.quarantined_at,
       q.resolution, q.resolved_at, q.retry_count
FROM quarantine q
WHERE q.source_table = %(table)s AND q.file_id = %(file_id)s AND q.row_number = %(row_number)s
ORDER BY q.quarantine_id

-- name: quarantined_row
SELECT * FROM quarantine WHERE quarantine_id = %(quarantine_id)s

-- name: quarantined_raw
SELECT quarantine_id, raw_data FROM quarantine WHERE quarantine_id = ANY (%(ids)s)

-- name: quarantine_history
-- Oldest first.
SELECT at, action, who, changes, outcome FROM quarantine_history
WHERE quarantine_id = %(quarantine_id)s
ORDER BY history_id

-- name: seen_of_key
-- What was seen of one key, in the order of its times; a version before what was seen beside it. Words in braces are
-- identifiers and expressions; columns of the user's may be called as the others are.
SELECT a.*
FROM (SELECT {columns}, t._file_id, t.valid_from::text AS at, t.valid_to::text AS valid_to, t.is_current,
             true AS "is a version", t._ended_by AS ended_by, t.valid_from AS "time of it"
      FROM {history} AS t WHERE {is_key}
      UNION ALL
      SELECT {columns}, t._file_id, t.seen_at::text, NULL, false, false, NULL, t.seen_at FROM {seen} AS t WHERE {is_key}
     ) AS a
LEFT JOIN pipeline_file_log l ON l.file_id = a._file_id
ORDER BY a."time of it", a."is a version" DESC, l.as_of, l.modified_at, l.file_name COLLATE "C", l.file_hash COLLATE "C"

-- name: warnings
-- What checks warn of in loaded rows of a file, most frequent first, each with the numbers of its first rows.
SELECT w.check_name, w.column_name, w.rows, w.says,
       ARRAY(SELECT r.row_number FROM warned_row r
             WHERE (r.file_id, r.check_name, r.column_name) = (w.file_id, w.check_name, w.column_name)
             ORDER BY 1 LIMIT 10) AS first_rows
FROM file_warning w
WHERE w.file_id = %(file_id)s
ORDER BY w.rows DESC, 1, 2
LIMIT %(limit)s

-- name: warnings_of_row
-- The checks that warn of a row that was loaded, as far as it is listed.
SELECT w.check_name, w.column_name, w.says
FROM warned_row r
JOIN file_warning w USING (file_id, check_name, column_name)
WHERE r.file_id = %(file_id)s AND r.row_number = %(row_number)s
ORDER BY 1, 2
