-- name: prune_warnings
-- warned_records of the file log stays: how many there were.
WITH pruned AS (
    DELETE FROM file_warning WHERE warned_at < %(before)s RETURNING file_id, check_name, column_name
), rows AS (
    DELETE FROM warned_row r USING pruned p
    WHERE (r.file_id, r.check_name, r.column_name) = (p.file_id, p.check_name, p.column_name)
)
SELECT count(*) FROM pruned

-- name: prune_quarantine
-- Open orphans stay: they may heal yet. Those given up go with their copies in true_orphan. The backup files of the days that keep some are marked to be written anew.
WITH pruned AS (
    DELETE FROM quarantine
    WHERE quarantined_at < %(before)s AND (rejection_stage <> 'orphan' OR resolution IS NOT NULL)
    RETURNING quarantine_id, file_type, (quarantined_at AT TIME ZONE 'UTC')::date AS day
), history AS (
    DELETE FROM quarantine_history h USING pruned p WHERE h.quarantine_id = p.quarantine_id
), given_up AS (
    DELETE FROM true_orphan t USING pruned p WHERE t.quarantine_id = p.quarantine_id
), days AS (
    SELECT DISTINCT file_type, day FROM pruned
), stale AS (
    UPDATE pipeline_file_log SET backup_written = false
    WHERE file_id IN (
        SELECT q.file_id
        FROM quarantine q
        JOIN days d ON d.file_type = q.file_type AND d.day = (q.quarantined_at AT TIME ZONE 'UTC')::date
        WHERE q.rejection_stage = 'orphan' AND q.resolution IS NULL)
)
SELECT count(*) FROM pruned
