-- What the dashboard's charts and the metrics read. `since` is a timestamptz, `step` a bucket's length in seconds; a
-- bucket is named by its begin, in seconds since 1970.

-- name: read_only
SET TRANSACTION READ ONLY;
SET LOCAL statement_timeout = '5s'

-- name: flow
-- Files and rows by the time of their commit; the row without a bucket is all of that time. The two latencies are the
-- median and the 99th percentile of files that loaded, in milliseconds.
SELECT bucket,
       count(*) FILTER (WHERE status = 'success') AS files_loaded,
       count(*) FILTER (WHERE status = 'failed') AS files_failed,
       coalesce(sum(total_records), 0)::bigint AS rows_total,
       coalesce(sum(inserted_records + updated_records), 0)::bigint AS rows_loaded,
       coalesce(sum(already_present), 0)::bigint AS rows_present,
       coalesce(sum(quarantined), 0)::bigint AS rows_quarantined,
       coalesce(sum(warned_records), 0)::bigint AS rows_warned,
       percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'success') AS ms
FROM (SELECT *, floor(extract(epoch FROM processed_at) / %(step)s)::bigint * %(step)s AS bucket
      FROM pipeline_file_log
      WHERE processed_at >= %(since)s) AS files
GROUP BY GROUPING SETS ((bucket), ())
ORDER BY bucket

-- name: last_file
SELECT max(processed_at) AS last_file FROM pipeline_file_log

-- name: orphans
-- Orphans by the time they were quarantined, and what became of them.
SELECT floor(extract(epoch FROM quarantined_at) / %(step)s)::bigint * %(step)s AS bucket,
       count(*) FILTER (WHERE resolution IS NULL) AS open,
       count(*) FILTER (WHERE resolution NOT IN ('true_orphan', 'discarded')) AS healed,
       count(*) FILTER (WHERE resolution IN ('true_orphan', 'discarded')) AS given_up
FROM quarantine
WHERE rejection_stage = 'orphan' AND quarantined_at >= %(since)s
GROUP BY 1
ORDER BY 1

-- name: open_orphans
-- All that are open, whenever they came; by the partial index on them.
SELECT source_table, count(*) AS rows, extract(epoch FROM now() - min(quarantined_at))::double precision AS oldest_seconds
FROM quarantine
WHERE rejection_stage = 'orphan' AND resolution IS NULL
GROUP BY 1
