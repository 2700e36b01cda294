-- What the file log knows of where files lie after their load.

-- name: of_content
-- The file whose content it is: of the same path, if there is one, else the newest. `as_of` tells its day and hour, UTC.
SELECT file_id, file_path, file_hash, file_size, status, lies_at, put_away_at,
       CASE WHEN isfinite(as_of) THEN as_of ELSE processed_at AT TIME ZONE 'UTC' END AS as_of
FROM pipeline_file_log
WHERE logical_name = %(logical_name)s AND file_hash = %(md5)s AND file_size = %(size)s
ORDER BY file_path = %(path)s DESC, file_id DESC
LIMIT 1

-- name: put_away
-- With it the types whose rows are in arrays of its records. `lies_at` is null where it was deleted.
UPDATE pipeline_file_log SET lies_at = %(lies_at)s, put_away_at = now()
WHERE file_path = %(path)s AND file_hash = %(md5)s AND file_size = %(size)s AND logical_name = ANY (%(names)s)

-- name: moved_before
SELECT DISTINCT lies_at, file_name, file_size FROM pipeline_file_log
WHERE lies_at IS NOT NULL AND put_away_at < %(before)s

-- name: removed
UPDATE pipeline_file_log SET lies_at = NULL WHERE lies_at = %(lies_at)s

-- name: moved
SELECT file_id, file_name, file_path, lies_at FROM pipeline_file_log WHERE lies_at IS NOT NULL ORDER BY file_id

-- name: failed_and_moved
SELECT file_path, file_name, file_hash, file_size, logical_name, spec_hash, lies_at FROM pipeline_file_log
WHERE status = 'failed' AND lies_at IS NOT NULL
ORDER BY file_id
