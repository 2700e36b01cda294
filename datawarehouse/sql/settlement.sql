-- What becomes of quarantined rows after a verdict: of those that heal, are replayed, or whose file is reprocessed.

-- name: open_orphans
-- Of rows told by file and number those that are open orphans.
SELECT q.quarantine_id
FROM quarantine q
JOIN unnest(%(file_ids)s::bigint[], %(row_numbers)s::bigint[]) AS wanted (file_id, row_number)
    ON wanted.file_id = q.file_id AND wanted.row_number = q.row_number
WHERE q.rejection_stage = 'orphan' AND q.resolution IS NULL

-- name: lock
-- Rows that are open or given up. Those that somebody else has in hand are left out.
SELECT q.quarantine_id, q.file_id, q.row_number, q.source_table, q.file_type, q.reasons::text, q.raw_data, q.resolution,
       ARRAY(SELECT DISTINCT jsonb_object_keys(h.changes) FROM quarantine_history h
             WHERE h.quarantine_id = q.quarantine_id AND h.action = 'edit'),
       (SELECT l.file_path FROM pipeline_file_log l WHERE l.file_id = q.file_id)
FROM quarantine q
WHERE q.quarantine_id = ANY (%(ids)s) AND (q.resolution IS NULL OR q.resolution = 'true_orphan')
ORDER BY q.quarantine_id
FOR UPDATE SKIP LOCKED

-- name: resolve
UPDATE quarantine q
SET resolution = r.resolution, resolved_at = now(), retry_count = q.retry_count + %(tries)s
FROM unnest(%(ids)s::bigint[], %(resolutions)s::text[]) AS r (id, resolution)
WHERE q.quarantine_id = r.id

-- name: refuse_again
UPDATE quarantine q
SET rejection_stage = r.stage, rejection_reason = r.reason, reasons = r.reasons, retry_count = q.retry_count + 1
FROM unnest(%(ids)s::bigint[], %(stages)s::text[], %(texts)s::text[], %(reasons)s::jsonb[])
    AS r (id, stage, reason, reasons)
WHERE q.quarantine_id = r.id

-- name: tried_in_vain
UPDATE quarantine SET retry_count = retry_count + 1 WHERE quarantine_id = ANY (%(ids)s)

-- name: open_again
-- Rows that had been loaded or found there, and are in no table any more.
UPDATE quarantine SET resolution = NULL, resolved_at = NULL WHERE quarantine_id = ANY (%(ids)s)

-- name: clear_waits
DELETE FROM orphan_wait w
USING unnest(%(file_ids)s::bigint[], %(row_numbers)s::bigint[]) AS done (file_id, row_number)
WHERE w.file_id = done.file_id AND w.row_number = done.row_number

-- name: drop_true_orphans
DELETE FROM true_orphan WHERE quarantine_id = ANY (%(ids)s)

-- name: note
INSERT INTO quarantine_history (quarantine_id, action, who, changes, outcome)
SELECT n.id, %(action)s, %(who)s, n.changes, n.outcome
FROM unnest(%(ids)s::bigint[], %(changes)s::jsonb[], %(outcomes)s::text[]) AS n (id, changes, outcome)

-- name: move_books
-- {moves} are columns and by how much they move: only those that do, for the service may not write the others.
UPDATE pipeline_file_log SET {moves} WHERE file_id = {file_id}

-- name: backup_stale
-- The CSV copy of these files' days is written anew from the table.
UPDATE pipeline_file_log SET backup_written = false WHERE file_id = ANY (%(file_ids)s)
