-- A kept column becomes one of its table: from _extra, or a column that was added, into its own. Words in braces
-- are identifiers and expressions: {source} is the waiting value as JSON, null where none waits.

-- name: drop
DROP TABLE IF EXISTS adopted

-- name: values
-- Every value that waits, once.
CREATE TEMPORARY TABLE adopted ON COMMIT DROP AS
SELECT row_number() OVER () AS number, source, false AS fits, NULL::text AS value
FROM (SELECT DISTINCT {source} AS source FROM {table} t WHERE {column} IS NULL) AS waiting
WHERE source IS NOT NULL

-- name: next_values
SELECT number, source FROM adopted WHERE number > %(after)s ORDER BY number LIMIT %(limit)s

-- name: read_values
UPDATE adopted a SET fits = true, value = r.value
FROM unnest(%(numbers)s::bigint[], %(values)s::text[]) AS r (number, value)
WHERE a.number = r.number

-- name: analyze
ANALYZE adopted

-- name: move
-- Values that fit go into the column, and from where they were; others stay there. One statement, however many rows:
-- others see all of it or nothing.
UPDATE {table} t
SET {column} = a.value::{type}, {left_from}
FROM adopted a
WHERE a.fits AND t.{column} IS NULL AND {source} = a.source

-- name: left
SELECT t._file_id, {key}, count(*) OVER () FROM {table} t WHERE {source} IS NOT NULL ORDER BY 1, 2 LIMIT {limit}

-- name: forget
DELETE FROM drift WHERE logical_name = %(logical_name)s AND column_name = %(column)s

-- name: may_wait
SET LOCAL lock_timeout = '30s'
