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
