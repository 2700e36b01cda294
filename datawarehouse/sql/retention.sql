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
