-- name: lock
-- Two daemons with the same content: the second waits here until the first has committed.
SELECT pg_advisory_xact_lock(hashtext('fastfeast file'), hashtext(%(content)s))

-- name: claim
SELECT nextval(pg_get_serial_sequence('pipeline_file_log', 'file_id')) AS file_id, l.file_id, l.status, l.spec_hash
FROM (SELECT 1) AS one
LEFT JOIN pipeline_file_log l
    ON l.logical_name = %(logical_name)s AND l.file_hash = %(md5)s AND l.file_size = %(size)s

-- name: forget_failed
DELETE FROM pipeline_file_log WHERE file_id = %(file_id)s AND status = 'failed'

-- name: close
INSERT INTO pipeline_file_log (
    file_id, file_name, file_path, file_hash, file_size, file_type, logical_name, source_table, status,
    total_records, valid_records, quarantined, inserted_records, already_present, updated_records, changed_records,
    duplicate_count, orphan_count, rejection_stage, error, duration_ms, pii_key_id, spec_hash, backup_written)
OVERRIDING SYSTEM VALUE
VALUES (
    %(file_id)s, %(file_name)s, %(file_path)s, %(md5)s, %(size)s, %(file_type)s, %(logical_name)s, %(source_table)s,
    %(status)s, %(total)s, %(valid)s, %(quarantined)s, %(inserted)s, %(already_present)s, %(updated)s, %(changed)s,
    %(duplicates)s, %(orphans)s, %(rejection_stage)s, %(error)s, %(duration_ms)s, %(pii_key_id)s, %(spec_hash)s,
    %(quarantined)s = 0)

-- name: heal
-- Orphans that loaded after all: the books of their files move with them.
UPDATE pipeline_file_log
SET valid_records = valid_records + %(resolved)s,
    quarantined = quarantined - %(resolved)s,
    inserted_records = inserted_records + %(inserted)s,
    already_present = already_present + %(resolved)s - %(inserted)s,
    resolved_orphans = resolved_orphans + %(resolved)s
WHERE file_id = %(file_id)s

-- name: done
SELECT file_hash FROM pipeline_file_log WHERE status = 'success'
