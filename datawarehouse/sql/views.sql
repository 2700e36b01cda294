-- The pipeline's own views, for people and BI tools; a company's own are in the files that its YAML names under `views`.
-- They are replaced by utils/sla_updater_job.py. Days are UTC.

-- name: v_data_quality_daily
-- One row a day of processing and type of file. What became of the orphans follows from the file log, which keeps its
-- figures when quarantine is pruned; open orphans are never pruned.
CREATE OR REPLACE VIEW v_data_quality_daily AS
SELECT
    to_char(l.processed_at AT TIME ZONE 'UTC', 'YYYYMMDD')::integer AS date_key,
    (l.processed_at AT TIME ZONE 'UTC')::date AS day,
    l.file_type,
    l.logical_name,
    l.source_table,
    count(*) FILTER (WHERE l.status = 'success') AS files,
    count(*) FILTER (WHERE l.status = 'failed') AS failed_files,
    sum(l.total_records)::bigint AS records,
    sum(l.inserted_records + l.updated_records)::bigint AS loaded,
    sum(l.already_present)::bigint AS already_present,
    sum(l.quarantined)::bigint AS quarantined,
    round(100.0 * sum(l.quarantined) / nullif(sum(l.total_records), 0), 2) AS quarantined_pct,
    coalesce(sum(q.rejected_schema), 0)::bigint AS rejected_schema,
    coalesce(sum(q.rejected_records), 0)::bigint AS rejected_records,
    coalesce(sum(q.rejected_load), 0)::bigint AS rejected_load,
    sum(l.orphan_count)::bigint AS orphans,
    coalesce(sum(q.orphans_open), 0)::bigint AS orphans_open,
    sum(l.resolved_orphans)::bigint AS orphans_healed,
    (sum(l.orphan_count - l.resolved_orphans) - coalesce(sum(q.orphans_open), 0))::bigint AS orphans_expired,
    sum(l.duplicate_count)::bigint AS duplicates,
    sum(l.changed_records)::bigint AS changed_not_applied,
    sum(l.updated_records)::bigint AS updated,
    sum(l.unchanged_records)::bigint AS unchanged,
    sum(l.stale_records)::bigint AS stale,
    sum(l.delete_records)::bigint AS deletes,
    sum(l.gone_records)::bigint AS gone
FROM pipeline_file_log AS l
LEFT JOIN (
    SELECT file_id,
           count(*) FILTER (WHERE rejection_stage = 'schema') AS rejected_schema,
           count(*) FILTER (WHERE rejection_stage = 'records') AS rejected_records,
           count(*) FILTER (WHERE rejection_stage = 'load') AS rejected_load,
           count(*) FILTER (WHERE rejection_stage = 'orphan' AND resolution IS NULL) AS orphans_open
    FROM quarantine
    GROUP BY file_id
) AS q ON q.file_id = l.file_id
GROUP BY 1, 2, l.file_type, l.logical_name, l.source_table
