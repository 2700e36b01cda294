-- What `verify` recounts, in one read-only transaction on one snapshot: a GROUP BY a table, an anti-join a foreign
-- key. Each query gives only what differs. Words in braces are identifiers.

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: books
-- The CHECKs of the table hold this; here they are not trusted.
SELECT file_id, file_name, source_table AS "table", total_records AS expected, valid_records + quarantined AS found
FROM pipeline_file_log
WHERE total_records <> valid_records + quarantined
   OR valid_records <> inserted_records + already_present + updated_records
ORDER BY file_id

-- name: rows
-- Rows of a table by the file that brought them, against the file log. An update moves a row to the file that
-- updated it: in a table that has known updates a file may have fewer rows than it brought, but none has more.
WITH counted AS (
    SELECT _file_id AS file_id, count(*) AS rows FROM {table} WHERE {is_real} GROUP BY 1
), logged AS (
    SELECT file_id, file_name,
           CASE WHEN status = 'success' THEN inserted_records + updated_records ELSE 0 END AS rows,
           coalesce(sum(updated_records) OVER (), 0) > 0 AS has_updates
    FROM pipeline_file_log
    WHERE source_table = %(table)s
)
SELECT coalesce(l.file_id, c.file_id) AS file_id, l.file_name, %(table)s AS "table",
       coalesce(l.rows, 0) AS expected, coalesce(c.rows, 0) AS found
FROM logged l
FULL JOIN counted c ON c.file_id = l.file_id
WHERE CASE WHEN l.has_updates THEN coalesce(c.rows, 0) > l.rows ELSE coalesce(c.rows, 0) <> coalesce(l.rows, 0) END
ORDER BY 1

-- name: rows_of_table
-- All rows of a table against all that was inserted: this holds with updates too.
SELECT NULL::bigint AS file_id, NULL AS file_name, %(table)s AS "table", l.rows AS expected, c.rows AS found
FROM (SELECT coalesce(sum(inserted_records), 0)::bigint AS rows FROM pipeline_file_log
      WHERE source_table = %(table)s) l,
     (SELECT count(*) AS rows FROM {table} WHERE {is_real}) c
WHERE l.rows <> c.rows

-- name: quarantine
-- Quarantined rows of every file against what the file log says of them. Of files before `pruned_before` retention may
-- have removed some.
WITH counted AS (
    {counts_by_file}
), compared AS (
    SELECT coalesce(l.file_id, c.file_id) AS file_id, l.file_name, l.source_table AS "table", v.what,
           coalesce(v.expected, 0) AS expected, coalesce(v.found, 0) AS found,
           coalesce(l.processed_at < %(pruned_before)s::timestamptz, false) AS pruned
    FROM pipeline_file_log l
    FULL JOIN counted c ON c.file_id = l.file_id
    CROSS JOIN LATERAL (VALUES ('quarantined', l.quarantined, c.quarantined), ('orphans', l.orphan_count, c.orphans),
                               ('resolved orphans', l.resolved_orphans, c.resolved_orphans),
                               ('resolved records', l.resolved_records, c.resolved_records),
                               ('duplicates', l.duplicate_count, c.duplicates)) AS v (what, expected, found)
)
SELECT file_id, file_name, "table", what, expected, found
FROM compared
WHERE found > expected OR (found < expected AND NOT pruned)
ORDER BY file_id, what

-- name: waits
-- An open orphan waits for something, and only open orphans do.
SELECT q.file_id, q.source_file AS file_name, q.source_table AS "table", 'open orphans that wait for nothing' AS what,
       0 AS expected, count(*) AS found
FROM quarantine q
WHERE q.rejection_stage = 'orphan' AND q.resolution IS NULL
  AND NOT EXISTS (SELECT FROM orphan_wait w WHERE w.file_id = q.file_id AND w.row_number = q.row_number)
GROUP BY 1, 2, 3
UNION ALL
SELECT w.file_id, NULL, w.source_table, 'waits without an open orphan', 0, count(*)
FROM orphan_wait w
WHERE NOT EXISTS (SELECT FROM quarantine q WHERE q.file_id = w.file_id AND q.row_number = w.row_number
                  AND q.rejection_stage = 'orphan' AND q.resolution IS NULL)
GROUP BY 1, 3
ORDER BY 1

-- name: true_orphans
-- An orphan that was given up is in true_orphan with the same values, and no other row is.
SELECT q.file_id, q.source_file AS file_name, coalesce(q.source_table, t.source_table) AS "table",
       count(q.quarantine_id) FILTER (WHERE q.resolution = 'true_orphan') AS expected,
       count(t.quarantine_id) FILTER (WHERE q.resolution IS DISTINCT FROM 'true_orphan') AS found
FROM (SELECT * FROM quarantine WHERE rejection_stage = 'orphan' OR resolution = 'true_orphan') q
FULL JOIN true_orphan t ON t.quarantine_id = q.quarantine_id
WHERE (coalesce(q.resolution, '') = 'true_orphan') <> (t.quarantine_id IS NOT NULL) OR t.raw_data <> q.raw_data
GROUP BY 1, 2, 3
ORDER BY 1

-- name: foreign_key
-- Rows whose parent is not there, by file: loads leave the triggers out.
SELECT c._file_id AS file_id, l.file_name, %(table)s AS "table", %(what)s AS what, 0 AS expected, count(*) AS found
FROM {table} c
LEFT JOIN pipeline_file_log l ON l.file_id = c._file_id
WHERE {are_there} AND NOT EXISTS (SELECT FROM {parent} p WHERE {matches})
GROUP BY 1, 2
ORDER BY 1

-- name: keys
-- Keys of a partitioned fact whose row is gone, as after a TRUNCATE or DROP of a partition: children may refer to them.
SELECT NULL::bigint AS file_id, NULL AS file_name, %(table)s AS "table", %(what)s AS what, 0 AS expected,
       count(*) AS found
FROM {keys} k
WHERE NOT EXISTS (SELECT FROM {table} t WHERE {t_is_k} AND t.{by} = k.{by})
HAVING count(*) > 0
