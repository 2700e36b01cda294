-- name: since
-- When the pipeline first dealt with a file; null before that.
SELECT min(processed_at) FROM pipeline_file_log

-- name: files
-- The newest files of one kind, with `upto` that file and older ones. Orphans may heal and are not counted as refused, whatever became of them.
SELECT file_id, file_path, status, total_records, quarantined - orphan_count + resolved_orphans, error, processed_at
FROM pipeline_file_log
WHERE logical_name = %(logical_name)s AND file_type = %(file_type)s AND processed_at >= %(since)s
  AND (%(upto)s::bigint IS NULL OR file_id <= %(upto)s)
ORDER BY file_id DESC
LIMIT %(limit)s

-- name: loaded
-- Which of these contents are loaded, under whatever name.
SELECT DISTINCT file_hash FROM pipeline_file_log
WHERE logical_name = %(logical_name)s AND status = 'success' AND file_hash = ANY (%(hashes)s)

-- name: open
SELECT breach_id, kind, file_type, file, day FROM contract_breach WHERE resolved_at IS NULL ORDER BY breach_id

-- name: breach
-- No row when another service was first.
INSERT INTO contract_breach (kind, file_type, file, day, detail, opened_at)
VALUES (%(kind)s, %(file_type)s, %(file)s, %(day)s, %(detail)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING breach_id

-- name: resolve
UPDATE contract_breach SET resolved_at = %(now)s WHERE breach_id = %(breach_id)s AND resolved_at IS NULL
RETURNING breach_id
