-- Orphans whose parents did not come in time become true orphans: they are copied to true_orphan with the time
-- they were first seen and the retries they had, and are no longer retried. Their quarantine rows stay.
-- Returns in `promoted` how many there were.
CREATE OR REPLACE PROCEDURE promote_true_orphans(older_than interval, INOUT promoted bigint DEFAULT 0)
LANGUAGE sql
AS $$
    WITH expired AS (
        UPDATE quarantine
        SET resolution = 'true_orphan', resolved_at = now()
        WHERE rejection_stage = 'orphan' AND resolution IS NULL AND quarantined_at < now() - older_than
        RETURNING *
    ), waits AS (
        DELETE FROM orphan_wait w
        USING expired e
        WHERE w.file_id = e.file_id AND w.row_number = e.row_number
        RETURNING w.file_id, w.row_number, w.fk_column
    ), keys AS (
        SELECT file_id, row_number, string_agg(fk_column, ', ' ORDER BY fk_column) AS columns
        FROM waits
        GROUP BY file_id, row_number
    ), moved AS (
        INSERT INTO true_orphan (quarantine_id, source_file, source_table, unresolved_fk, raw_data, first_seen_at,
                                 retry_count)
        SELECT e.quarantine_id, e.source_file, e.source_table, coalesce(k.columns, ''), e.raw_data, e.quarantined_at,
               e.retry_count
        FROM expired e
        LEFT JOIN keys k ON k.file_id = e.file_id AND k.row_number = e.row_number
        ON CONFLICT (quarantine_id) DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM moved
$$;
