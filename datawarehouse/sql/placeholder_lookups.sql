-- Columns that are taken from a parent (`lookup`), of rows that were loaded while it was a placeholder. Words in braces are
-- identifiers. See datawarehouse/placeholder_lookups.py.

-- name: create
CREATE TEMPORARY TABLE IF NOT EXISTS {filled} ON COMMIT DROP AS SELECT {key} FROM {table} WITH NO DATA

-- name: note
INSERT INTO {filled} SELECT {key} FROM {stage} AS s WHERE s.{row} = ANY ({numbers})

-- name: any
SELECT EXISTS (SELECT FROM {filled})

-- name: take
UPDATE {child} AS c SET {column} = v.{take}
FROM (SELECT t.* FROM {filled} AS f CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_f} LIMIT 1) AS t) AS v
WHERE {c_is_v} AND c.{column} IS DISTINCT FROM v.{take}

-- name: take_by_index
UPDATE {child} AS c SET {column} = v.{take}
FROM (SELECT t.* FROM {filled} AS f CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_f} LIMIT 1) AS t) AS v
WHERE {c_found_by_v} AND c.{column} IS DISTINCT FROM v.{take}

-- name: take_of_files
-- Rows of files that were loaded while their parents came.
UPDATE {child} AS c SET {column} = t.{take} FROM {table} AS t
WHERE c._file_id = ANY ({file_ids}) AND {t_found_by_c} AND c.{column} IS NULL AND t.{take} IS NOT NULL

-- name: forget
-- Of parents that are placeholders again.
UPDATE {child} AS c SET {column} = NULL FROM {table} AS t
WHERE t._placeholder AND {c_is_t} AND c.{column} IS NOT NULL
