-- A kept column becomes one of its table: from _extra into the column. Words in braces are identifiers.

-- name: values
-- Every value that waits under the name, once, as jsonb writes it.
CREATE TEMPORARY TABLE adopted ON COMMIT DROP AS
SELECT row_number() OVER () AS number, source, false AS fits, NULL::text AS value
FROM (SELECT DISTINCT ({extra} -> {name})::text AS source FROM {table} WHERE {extra} ? {name} AND {column} IS NULL)
    AS waiting

-- name: next_values
SELECT number, source FROM adopted WHERE number > %(after)s ORDER BY number LIMIT %(limit)s

-- name: read_values
UPDATE adopted a SET fits = true, value = r.value
FROM unnest(%(numbers)s::bigint[], %(values)s::text[]) AS r (number, value)
WHERE a.number = r.number

-- name: analyze
ANALYZE adopted

-- name: move
-- Values that fit go into the column, and out of _extra; others stay where they are.
UPDATE {table} t
SET {column} = a.value::{type}, {extra} = nullif(t.{extra} - {name}, '{{}}'::jsonb)
FROM adopted a
WHERE a.fits AND t.{extra} ? {name} AND t.{column} IS NULL AND (t.{extra} -> {name})::text = a.source

-- name: left
SELECT t._file_id, {key}, count(*) OVER () FROM {table} t WHERE t.{extra} ? {name} ORDER BY 1, 2 LIMIT {limit}

-- name: forget
DELETE FROM drift WHERE logical_name = %(logical_name)s AND column_name = %(column)s

-- name: may_wait
SET LOCAL lock_timeout = '30s'
