-- Figures of the columns of files.

-- name: add
INSERT INTO column_profile (file_id, logical_name, column_name, row_count, null_share, distinct_count, min_value, max_value, mean_value)
SELECT p.file_id, %(logical_name)s, p.column_name, p.row_count, p.null_share, p.distinct_count, p.min_value, p.max_value, p.mean_value
FROM unnest(%(file_ids)s::bigint[], %(columns)s::text[], %(rows)s::bigint[], %(null_shares)s::float8[], %(distinct)s::bigint[],
            %(lows)s::text[], %(highs)s::text[], %(means)s::float8[])
     AS p (file_id, column_name, row_count, null_share, distinct_count, min_value, max_value, mean_value)
ON CONFLICT (file_id, column_name) DO UPDATE SET
    logical_name = excluded.logical_name, row_count = excluded.row_count, null_share = excluded.null_share,
    distinct_count = excluded.distinct_count, min_value = excluded.min_value, max_value = excluded.max_value,
    mean_value = excluded.mean_value

-- name: forget
DELETE FROM column_profile WHERE file_id = %(file_id)s

-- name: forget_values
UPDATE column_profile SET min_value = NULL, max_value = NULL, mean_value = NULL
WHERE logical_name = %(logical_name)s AND column_name = ANY (%(columns)s) AND min_value IS NOT NULL

-- name: prune
WITH files AS (
    SELECT file_id, max(profiled_at) AS profiled_at, row_number() OVER (PARTITION BY logical_name ORDER BY file_id DESC) AS place
    FROM column_profile
    GROUP BY logical_name, file_id
), pruned AS (
    DELETE FROM column_profile p USING files f
    WHERE p.file_id = f.file_id AND f.place > %(kept)s AND f.profiled_at < %(before)s
    RETURNING p.file_id
)
SELECT count(DISTINCT file_id) FROM pruned

-- name: before
-- A column in the last files of a type before one, the newest first.
SELECT column_name, row_count, null_share, distinct_count, min_value, max_value, mean_value
FROM column_profile
WHERE logical_name = %(logical_name)s AND column_name = %(column)s AND file_id < %(file_id)s
ORDER BY file_id DESC
LIMIT %(files)s

-- name: beside
-- The columns of a file, each with those of the last files of the type before it; of each column its own comes first.
SELECT b.column_name, b.row_count, b.null_share, b.distinct_count, b.min_value, b.max_value, b.mean_value
FROM column_profile p
CROSS JOIN LATERAL (
    SELECT * FROM column_profile o
    WHERE o.logical_name = p.logical_name AND o.column_name = p.column_name AND o.file_id <= p.file_id
    ORDER BY o.file_id DESC
    LIMIT %(files)s + 1
) AS b
WHERE p.file_id = %(file_id)s
ORDER BY b.column_name, b.file_id DESC
