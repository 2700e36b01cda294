-- Placeholders: rows of a parent's table that have nothing but the key, until the parent comes. Words in braces are
-- identifiers, and lists of keys, that datawarehouse/placeholders.py puts in. A partitioned fact has them in its default
-- partition, beyond all times.

-- name: make
-- In the order of the keys, so that two loads that make the same ones wait for each other in one direction.
INSERT INTO {table} AS t ({key}, _file_id, _placeholder)
SELECT {numbers}, {no_file}, true
FROM unnest({wanted}) AS w ({numbers})
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {is_wanted} OFFSET 0)
ORDER BY {numbers}
ON CONFLICT ({key}) DO NOTHING
RETURNING ({value})::text

-- name: make_partitioned
WITH made AS (
    INSERT INTO {keys} AS t ({key}, {by})
    SELECT {numbers}, 'infinity'
    FROM unnest({wanted}) AS w ({numbers})
    WHERE NOT EXISTS (SELECT FROM {keys} AS t WHERE {is_wanted} OFFSET 0)
    ORDER BY {numbers}
    ON CONFLICT ({key}) DO NOTHING
    RETURNING {t_key}
)
INSERT INTO {table} AS t ({key}, {by}, _file_id, _placeholder)
SELECT {key}, 'infinity', {no_file}, true FROM made
RETURNING ({value})::text

-- name: named
-- What rows of a table name as their parents, of those whose own keys are given.
SELECT ({parent})::text
FROM unnest({wanted}) AS w ({numbers})
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {is_wanted} LIMIT 1) AS t

-- name: may_take_back
SELECT bool_and(has_table_privilege(name, 'DELETE')) FROM unnest({names}) AS name

-- name: take_back
DELETE FROM {table} AS t USING unnest({wanted}) AS w ({numbers}) WHERE {is_wanted} AND {is_placeholder}{others}

-- name: take_back_keys
DELETE FROM {keys} AS t USING unnest({wanted}) AS w ({numbers})
WHERE {is_wanted} AND t.{by} = 'infinity' AND NOT EXISTS (SELECT FROM {table} AS r WHERE {is_row} AND r.{by} = t.{by})

-- name: others
-- No row refers to it.
 AND NOT EXISTS (SELECT FROM {child} AS c WHERE {refers})

-- name: of_file
-- The placeholders to which rows of a file refer; whoever is about to refer to them is waited for, or waits.
SELECT ({value})::text FROM {table} AS t
WHERE t._placeholder AND EXISTS (SELECT FROM {child} AS c WHERE {refers} AND {chosen})
FOR UPDATE

-- name: turn_back
-- Rows of a file to which others refer become placeholders again.
UPDATE {table} AS t SET {blank}
WHERE t._file_id = {file_id} AND ({referred})

-- name: turn_back_partitioned
WITH turned AS (
    UPDATE {table} AS t SET {blank}
    WHERE t._file_id = {file_id} AND ({referred})
    RETURNING {t_key}
)
UPDATE {keys} AS k SET {by} = 'infinity' FROM turned AS t WHERE {k_is_t}

-- name: referred
EXISTS (SELECT FROM {child} AS c WHERE {refers} AND NOT (c._file_id = {file_id} AND {is_own}))

-- name: has_column
SELECT EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = to_regclass({table}) AND attname = '_placeholder' AND NOT attisdropped)

-- name: waiting
SELECT count(*), min(_loaded_at) FROM {table} WHERE _placeholder
