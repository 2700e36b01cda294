-- name: lock
-- Two daemons with the same content: the second waits here until the first has committed.
-- `keyed`: how many of the three tables that a load writes to have their keys. A restore brings these after all rows;
-- until then a file that was loaded before looks new.
SELECT (SELECT count(DISTINCT k.conrelid) FROM pg_constraint k
        WHERE k.contype IN ('p', 'u') AND k.conrelid IN ('pipeline_file_log'::regclass, 'quarantine'::regclass,
                                                         %(table)s::regclass)) AS keyed,
       pg_advisory_xact_lock(hashtext('fastfeast file'), hashtext(%(content)s))

-- name: claim
SELECT nextval(pg_get_serial_sequence('pipeline_file_log', 'file_id')) AS file_id, l.file_id, l.status, l.spec_hash,
       l.error, l.file_path
FROM (SELECT 1) AS one
LEFT JOIN pipeline_file_log l
    ON l.logical_name = %(logical_name)s AND l.file_hash = %(md5)s AND l.file_size = %(size)s

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
      FROM unnest(%(positions)s::int[], %(logical_names)s::text[], %(hashes)s::text[], %(sizes)s::bigint[])
          AS wanted (position, logical_name, hash, size)
      WHERE NOT EXISTS (SELECT FROM pipeline_file_log l
                        WHERE l.logical_name = wanted.logical_name AND l.file_hash = wanted.hash
                          AND l.file_size = wanted.size)
      ORDER BY wanted.position OFFSET 0) AS new

-- name: forget
DELETE FROM pipeline_file_log WHERE file_id = %(file_id)s AND status IN ('failed', 'undone')

-- name: close
INSERT INTO pipeline_file_log (
    file_id, file_name, file_path, file_hash, file_size, file_type, logical_name, source_table, status,
    total_records, valid_records, quarantined, inserted_records, already_present, updated_records, changed_records,
    duplicate_count, orphan_count, rejection_stage, error, duration_ms, pii_key_id, spec_hash, backup_written)
OVERRIDING SYSTEM VALUE
VALUES %s

-- name: heal
-- Orphans that loaded after all: the books of their files move with them.
UPDATE pipeline_file_log
SET valid_records = valid_records + %(resolved)s,
    quarantined = quarantined - %(resolved)s,
    inserted_records = inserted_records + %(inserted)s,
    updated_records = updated_records + %(updated)s,
    already_present = already_present + %(resolved)s - %(inserted)s - %(updated)s,
    resolved_orphans = resolved_orphans + %(resolved)s
WHERE file_id = %(file_id)s

-- name: replay
-- The same for rows that an operator replayed; `orphans` of the `resolved` were orphans.
UPDATE pipeline_file_log
SET valid_records = valid_records + %(resolved)s,
    quarantined = quarantined - %(resolved)s,
    inserted_records = inserted_records + %(inserted)s,
    updated_records = updated_records + %(updated)s,
    already_present = already_present + %(resolved)s - %(inserted)s - %(updated)s,
    resolved_orphans = resolved_orphans + %(orphans)s,
    resolved_records = resolved_records + %(resolved)s - %(orphans)s
WHERE file_id = %(file_id)s

-- name: judged_anew
-- Rows that are refused still, for other reasons than before; their backup is written anew.
UPDATE pipeline_file_log
SET orphan_count = orphan_count + %(orphans)s,
    duplicate_count = duplicate_count + %(duplicates)s,
    backup_written = false
WHERE file_id = %(file_id)s

-- name: restored
-- Rows that the file had counted as already there, and that it has brought itself now, or put in an older one's place.
UPDATE pipeline_file_log l
SET inserted_records = l.inserted_records + n.restored,
    updated_records = l.updated_records + n.updated,
    already_present = l.already_present - n.restored - n.updated,
    changed_records = least(l.changed_records, l.already_present - n.restored - n.updated)
FROM (SELECT file_id, least(%(restored)s, already_present) AS restored,
             least(%(updated)s, already_present - least(%(restored)s, already_present)) AS updated
      FROM pipeline_file_log WHERE file_id = %(file_id)s) AS n
WHERE l.file_id = n.file_id

-- name: undone
UPDATE pipeline_file_log
SET status = 'undone', error = %(error)s, total_records = 0, valid_records = 0, quarantined = 0,
    inserted_records = 0, already_present = 0, updated_records = 0, changed_records = 0, duplicate_count = 0,
    orphan_count = 0, resolved_orphans = 0, resolved_records = 0, backup_written = false
WHERE file_id = %(file_id)s

-- name: lock_file
SELECT file_id, file_name, file_path, file_hash, file_size, file_type, logical_name, source_table, status,
       updated_records
FROM pipeline_file_log
WHERE file_id = %(file_id)s
FOR UPDATE
