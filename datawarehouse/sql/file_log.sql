-- name: lock
-- Two daemons with the same content: the second waits here until the first has committed.
-- `keyed`: how many of the three tables that a load writes to have their keys. A restore brings these after all rows;
-- until then a file that was loaded before looks new.
SELECT (SELECT count(DISTINCT k.conrelid) FROM pg_constraint k
        WHERE k.contype IN ('p', 'u') AND k.conrelid IN ('pipeline_file_log'::regclass, 'quarantine'::regclass,
                                                         %(table)s::regclass)) AS keyed,
       pg_advisory_xact_lock(hashtext('fastfeast file'), hashtext(%(content)s))

-- name: claim
-- `as_of`: where the same content at another time is another file. A file whose time is not known, since an earlier
-- version of the pipeline loaded it, is the same whenever it comes.
SELECT nextval(pg_get_serial_sequence('pipeline_file_log', 'file_id')) AS file_id, l.file_id, l.status, l.spec_hash,
       l.error, l.file_path
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT * FROM pipeline_file_log l
    WHERE l.logical_name = %(logical_name)s AND l.file_hash = %(md5)s AND l.file_size = %(size)s
      AND (%(as_of)s::timestamp IS NULL OR l.as_of IN (%(as_of)s, '-infinity'))
    ORDER BY l.as_of DESC, l.file_id DESC LIMIT 1) AS l ON true

-- name: try_lock
-- `keyed` as above.
SELECT content, keyed
FROM unnest(%(contents)s::text[]) AS wanted (content),
     (SELECT (SELECT count(DISTINCT k.conrelid) FROM pg_constraint k
             WHERE k.contype IN ('p', 'u') AND k.conrelid IN ('pipeline_file_log'::regclass, 'quarantine'::regclass,
                                                              %(table)s::regclass))) AS keys (keyed)
WHERE pg_try_advisory_xact_lock(hashtext('fastfeast file'), hashtext(content))

-- name: claim_new
-- OFFSET 0 keeps the planner from giving out the numbers before the files are in their order.
SELECT position, nextval(pg_get_serial_sequence('pipeline_file_log', 'file_id'))
FROM (SELECT wanted.position
      FROM unnest(%(positions)s::int[], %(logical_names)s::text[], %(hashes)s::text[], %(sizes)s::bigint[],
                   %(times)s::timestamp[]) AS wanted (position, logical_name, hash, size, as_of)
      WHERE NOT EXISTS (SELECT FROM pipeline_file_log l
                        WHERE l.logical_name = wanted.logical_name AND l.file_hash = wanted.hash
                          AND l.file_size = wanted.size AND (wanted.as_of IS NULL
                               OR l.as_of IN (wanted.as_of, '-infinity')))
      ORDER BY wanted.position OFFSET 0) AS new

-- name: forget
DELETE FROM pipeline_file_log WHERE file_id = %(file_id)s AND status IN ('failed', 'undone')

-- name: close
INSERT INTO pipeline_file_log (
    file_id, file_name, file_path, file_hash, file_size, file_type, logical_name, source_table, status,
    total_records, valid_records, quarantined, inserted_records, already_present, updated_records, changed_records,
    stale_records, warned_records, delete_records, gone_records, removed_records, duplicate_count, orphan_count,
    rejection_stage, error, duration_ms, pii_key_id, spec_hash, backup_written, as_of, modified_at, lies_at,
    put_away_at)
OVERRIDING SYSTEM VALUE
VALUES %s

-- name: later_than
-- Of files in hand and of those of the log: the table's files that are later in their order, which is that of
-- file_order.py.
WITH asked AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(as_of)s::timestamp[], %(modified_at)s::timestamp[], %(name)s::text[],
                         %(md5)s::text[]) AS f (file_id, as_of, modified_at, name, md5)
    UNION ALL
    SELECT file_id, as_of, modified_at, file_name, file_hash FROM pipeline_file_log
    WHERE file_id = ANY (%(logged)s::bigint[])
)
SELECT a.file_id, array_agg(l.file_id ORDER BY l.file_id)
FROM asked a
JOIN pipeline_file_log l ON l.source_table = %(table)s AND l.status = 'success'
    AND (l.as_of, l.modified_at, l.file_name COLLATE "C", l.file_hash COLLATE "C")
        > (a.as_of, a.modified_at, a.name COLLATE "C", a.md5 COLLATE "C")
GROUP BY 1

-- name: in_order
SELECT file_id FROM pipeline_file_log WHERE file_id = ANY (%(ids)s::bigint[])
ORDER BY as_of, modified_at, file_name COLLATE "C", file_hash COLLATE "C"

-- name: times
SELECT file_id, as_of::text FROM pipeline_file_log WHERE file_id = ANY (%(ids)s::bigint[])

-- name: time_of_row
SELECT max(as_of) AS as_of, max(modified_at) AS modified_at, max(name COLLATE "C") AS name, max(md5 COLLATE "C") AS md5
FROM (SELECT as_of, modified_at, file_name AS name, file_hash AS md5 FROM pipeline_file_log l
      WHERE l.file_id = {row}._file_id
      UNION ALL
      SELECT as_of, modified_at, name, md5 FROM (VALUES {in_hand}) AS h (file_id, as_of, modified_at, name, md5)
      WHERE h.file_id = {row}._file_id OFFSET 0) AS known

-- name: own_rows
-- Rows of {table} that are a file's; and whether any file has updated rows of the table, which makes them its own.
SELECT (SELECT count(*) FROM {table} WHERE _file_id = %(file_id)s),
       EXISTS (SELECT FROM pipeline_file_log WHERE source_table = %(table)s AND (updated_records > 0 OR removed_records > 0))

-- name: rows_missing
-- How many rows of {table} there are less than files have inserted: those deleted by hand. Rows of no file don't count.
SELECT (SELECT coalesce(sum(inserted_records - removed_records), 0)::bigint FROM pipeline_file_log WHERE source_table = %(table)s)
       - (SELECT count(*) FROM {table} t WHERE EXISTS (SELECT FROM pipeline_file_log l WHERE l.file_id = t._file_id))

-- name: recounted
UPDATE pipeline_file_log
SET valid_records = total_records - %(quarantined)s,
    quarantined = %(quarantined)s,
    inserted_records = %(inserted)s,
    updated_records = %(updated)s,
    already_present = total_records - %(quarantined)s - %(inserted)s - %(updated)s - delete_records,
    changed_records = least(changed_records + %(changed)s, total_records - %(quarantined)s - %(inserted)s - %(updated)s - delete_records),
    stale_records = least(stale_records + %(stale)s, total_records - %(quarantined)s - %(inserted)s - %(updated)s - delete_records
                          - least(changed_records + %(changed)s,
                                  total_records - %(quarantined)s - %(inserted)s - %(updated)s - delete_records)),
    orphan_count = %(orphans)s,
    resolved_orphans = %(resolved_orphans)s,
    resolved_records = %(resolved_records)s,
    duplicate_count = %(duplicates)s,
    backup_written = backup_written AND NOT %(rewritten)s
WHERE file_id = %(file_id)s

-- name: take_over
-- Rows that were inserted by a file whose books no longer say so: those who updated them have inserted them.
UPDATE pipeline_file_log l
SET inserted_records = l.inserted_records + n.rows, updated_records = l.updated_records - n.rows
FROM (SELECT file_id, least(updated_records, greatest(
                 %(rows)s - (sum(updated_records) OVER (ORDER BY file_id) - updated_records), 0)) AS rows
      FROM pipeline_file_log WHERE source_table = %(table)s AND updated_records > 0) n
WHERE l.file_id = n.file_id AND n.rows > 0

-- name: not_removed
-- Rows that files had removed, and that are there again since another is taken back which was later than theirs.
UPDATE pipeline_file_log l
SET removed_records = l.removed_records - n.rows, gone_records = l.gone_records - n.rows
FROM (SELECT file_id, least(removed_records, greatest(
                 %(rows)s - (sum(removed_records) OVER (ORDER BY file_id DESC) - removed_records), 0)) AS rows
      FROM pipeline_file_log WHERE source_table = %(table)s AND removed_records > 0) n
WHERE l.file_id = n.file_id AND n.rows > 0

-- name: in_force_again
-- Files of which more rows are in the table than they have inserted and updated: what was stale or contradicted is in
-- force now.
UPDATE pipeline_file_log l
SET updated_records = l.updated_records + n.rows, already_present = l.already_present - n.rows,
    stale_records = greatest(l.stale_records - n.rows, 0),
    changed_records = l.changed_records
                      - least(greatest(n.rows - l.stale_records, 0), l.changed_records)
FROM (SELECT f.file_id, least(count(*) - f.inserted_records - f.updated_records, f.already_present) AS rows
      FROM pipeline_file_log f JOIN {table} t ON t._file_id = f.file_id
      WHERE f.file_id = ANY (%(file_ids)s)
      GROUP BY 1) n
WHERE l.file_id = n.file_id AND n.rows > 0

-- name: give_back
-- The other way: of rows that a file's books have as inserted too often, the file has updated another file's.
UPDATE pipeline_file_log l
SET inserted_records = l.inserted_records - n.rows, updated_records = l.updated_records + n.rows
FROM (SELECT file_id, least(inserted_records, greatest(
                 %(rows)s - (sum(inserted_records) OVER (ORDER BY file_id DESC) - inserted_records), 0)) AS rows
      FROM pipeline_file_log WHERE source_table = %(table)s AND inserted_records > 0) n
WHERE l.file_id = n.file_id AND n.rows > 0

-- name: undone
-- The backup of the day on which its rows were refused is to be written anew: that day may be a later one than the
-- file's, when it was reprocessed.
UPDATE pipeline_file_log
SET status = 'undone', error = %(error)s, total_records = 0, valid_records = 0, quarantined = 0,
    inserted_records = 0, already_present = 0, updated_records = 0, changed_records = 0, stale_records = 0,
    warned_records = 0, delete_records = 0, gone_records = 0, removed_records = 0, duplicate_count = 0,
    orphan_count = 0, resolved_orphans = 0, resolved_records = 0, backup_written = false,
    processed_at = coalesce(%(refused_at)s, processed_at)
WHERE file_id = %(file_id)s

-- name: lock_file
SELECT file_id, file_name, file_path, lies_at, put_away_at, file_hash, file_size, file_type, logical_name,
       source_table, status, total_records, quarantined, inserted_records, updated_records, resolved_orphans, resolved_records
FROM pipeline_file_log
WHERE file_id = %(file_id)s
FOR UPDATE
