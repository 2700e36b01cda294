-- What `verify` recounts, in one read-only transaction on one snapshot: a GROUP BY a table, an anti-join a foreign
-- key. Each query gives only what differs. Words in braces are identifiers.

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: books
-- The CHECKs of the table hold this; here they are not trusted.
SELECT file_id, file_name, source_table AS "table", total_records AS expected, valid_records + quarantined AS found
FROM pipeline_file_log
WHERE total_records <> valid_records + quarantined
   OR valid_records <> inserted_records + already_present + updated_records + delete_records
ORDER BY file_id

-- name: rows
-- Rows of a table by the file that brought them, against the file log. An update moves a row to the file that
-- updated it: in a table that has known updates a file may have fewer rows than it brought, but none has more.
WITH counted AS (
    SELECT _file_id AS file_id, count(*) AS rows FROM {table} WHERE {is_real} GROUP BY 1
), logged AS (
    SELECT file_id, file_name,
           CASE WHEN status = 'success' THEN inserted_records + updated_records ELSE 0 END AS rows,
           coalesce(sum(updated_records + removed_records) OVER (), 0) > 0 AS has_updates
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
FROM (SELECT coalesce(sum(inserted_records - removed_records), 0)::bigint AS rows FROM pipeline_file_log
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

-- name: history
-- The versions of each key, one after the other. An end between two, or after the last, is told by a file.
WITH versions AS (
    SELECT _file_id, valid_from, valid_to, _ended_by, {time_of_h} AS told_from, lead(valid_from) OVER w AS next_from,
           ROW({tracked}) IS NOT DISTINCT FROM ROW({next_tracked}) AS is_like_next
    FROM {history} AS h
    WINDOW w AS (PARTITION BY {key} ORDER BY valid_to)
), wrong AS (
    SELECT _file_id AS file_id, valid_from, told_from,
           CASE WHEN next_from < valid_to THEN 'versions that overlap the next'
                WHEN next_from > valid_to AND _ended_by IS NULL THEN 'versions with a gap to the next'
                WHEN next_from = valid_to AND _ended_by IS NULL AND is_like_next THEN 'versions like the next'
                WHEN next_from IS NULL AND (valid_to = 'infinity') <> (_ended_by IS NULL)
                    THEN 'last versions that end, and no file says so' END AS what
    FROM versions
)
SELECT w.file_id, l.file_name, {table_text} AS "table", v.what, 0 AS expected, count(*) AS found
FROM wrong w
LEFT JOIN pipeline_file_log l ON l.file_id = w.file_id
CROSS JOIN LATERAL (VALUES (w.what),
                           (CASE WHEN w.valid_from IS DISTINCT FROM coalesce(w.told_from, l.as_of, '-infinity')
                                  AND NOT ({is_back} AND w.valid_from = l.as_of AND w.told_from < w.valid_from)
                                THEN 'versions that begin at another time than their row tells' END)) AS v (what)
WHERE v.what IS NOT NULL
GROUP BY 1, 2, 4
ORDER BY 1, 4

-- name: is_newer_by_time
-- Of types whose snapshots take rows away: a row that was seen in the same life of its key, by its own time.
(l.as_of > coalesce((SELECT max(o.valid_to) FROM {history} AS o WHERE {o_is_s} AND o._ended_by IS NOT NULL), '-infinity')
 AND ({time_of_s}, l.as_of, l.modified_at, l.file_name COLLATE "C", l.file_hash COLLATE "C")
     > (SELECT {time_of_h}, f.as_of, f.modified_at, f.file_name COLLATE "C", f.file_hash COLLATE "C"
        FROM pipeline_file_log AS f WHERE f.file_id = h._file_id))

-- name: history_files
-- Files of versions, and of what was seen beside them, that the file log has not as loaded.
SELECT f.file_id, l.file_name, {table_text} AS "table", 'versions of a file that is not loaded' AS what, 0 AS expected,
       sum(f.found)::bigint AS found
FROM (SELECT _file_id AS file_id, count(*) AS found FROM {history} GROUP BY 1
      UNION ALL SELECT _ended_by, count(*) FROM {history} WHERE _ended_by IS NOT NULL GROUP BY 1
      UNION ALL SELECT _file_id, count(*) FROM {seen} GROUP BY 1) AS f
LEFT JOIN pipeline_file_log l ON l.file_id = f.file_id
WHERE l.status IS DISTINCT FROM 'success' OR l.source_table <> {table_text}
GROUP BY 1, 2
ORDER BY 1

-- name: history_of_rows
-- Each row is the newest that was seen of its key: its version in force, or what was seen since and changed nothing
-- that is tracked.
WITH in_force AS (
    SELECT * FROM {history} WHERE is_current
), newest AS (
    SELECT DISTINCT ON ({s_key}) s.*
    FROM {seen} AS s
    LEFT JOIN pipeline_file_log l ON l.file_id = s._file_id
    JOIN in_force AS h ON {h_is_s} AND {s_is_newer}
    ORDER BY {s_key}, {time_of_s} DESC, l.as_of DESC, l.modified_at DESC, l.file_name COLLATE "C" DESC,
             l.file_hash COLLATE "C" DESC
), compared AS (
    SELECT coalesce(t._file_id, h._file_id) AS file_id,
           CASE WHEN h._file_id IS NULL THEN CASE WHEN NOT {may_lack} THEN 'rows without a version in force' END
                WHEN t._file_id IS NULL THEN 'versions in force without their row'
                WHEN ROW({t_tracked}) IS DISTINCT FROM ROW({h_tracked})
                  OR CASE WHEN s._file_id IS NULL THEN ROW({t_columns}) IS DISTINCT FROM ROW({h_columns})
                          ELSE ROW({t_columns}) IS DISTINCT FROM ROW({s_columns}) END
                    THEN 'rows that are not as their history has them' END AS what
    FROM {table} AS t
    FULL JOIN in_force AS h ON {h_is_t}
    LEFT JOIN newest AS s ON {h_is_s}
)
SELECT c.file_id, l.file_name, {table_text} AS "table", c.what, 0 AS expected, count(*) AS found
FROM compared c
LEFT JOIN pipeline_file_log l ON l.file_id = c.file_id
WHERE c.what IS NOT NULL
GROUP BY 1, 2, 4
ORDER BY 1, 4
