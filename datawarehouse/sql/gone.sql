-- What a snapshot lacks is gone (datawarehouse/merge/goings.py). Words in braces are identifiers and expressions.

-- name: take_turns
-- What two files of a table lack is found by one after the other.
SELECT pg_advisory_xact_lock(hashtext('fastfeast goings'), hashtext(%(table)s))

-- name: create
-- `held`: the keys of the file's records, good ones and refused ones. `going`: keys of rows that are gone by it.
CREATE TEMPORARY TABLE {held} ({held_columns}, is_good boolean) ON COMMIT DROP;
CREATE TEMPORARY TABLE {going} ON COMMIT DROP AS SELECT {key}, _gone_at FROM {table} WITH NO DATA

-- name: by_hash
-- Whole tables are compared, and no statistics may say that one is empty.
SET LOCAL enable_seqscan = on; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off

-- name: by_index
SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = on; SET LOCAL enable_mergejoin = on

-- name: find
INSERT INTO {going}
SELECT {t_key}, {at}::timestamp FROM {table} AS t
WHERE t._gone_at IS NULL AND {is_real} AND NOT EXISTS (SELECT FROM {held} AS h WHERE {h_is_t})

-- name: find_back
-- Rows that were gone, and that the file has.
INSERT INTO {going}
SELECT {t_key}, NULL FROM {table} AS t
WHERE t._gone_at IS NOT NULL AND EXISTS (SELECT FROM {held} AS h WHERE {h_is_t} AND h.is_good)

-- name: count_alive
SELECT count(*) FROM {table} AS t WHERE t._gone_at IS NULL AND {is_real}

-- name: lock
-- From here on no row that is loaded can refer to them: a load that has looked them up is waited for.
SELECT FROM (SELECT {key} FROM {going} WHERE _gone_at IS NOT NULL ORDER BY {key}) AS g
CROSS JOIN LATERAL (SELECT FROM {keys} AS t WHERE {t_is_g} LIMIT 1 FOR UPDATE) AS t

-- name: referred
-- Those to which rows of {child} refer.
SELECT DISTINCT {t_key} FROM {going} AS g JOIN {table} AS t ON {t_is_g} JOIN {child} AS c ON {refers}
WHERE g._gone_at IS NOT NULL

-- name: create_staying
CREATE TEMPORARY TABLE {staying} ON COMMIT DROP AS {referred}

-- name: delete
WITH deleted AS (
    DELETE FROM {table} AS t USING {going} AS g
    WHERE {t_found_by_g} AND g._gone_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM {staying} AS s WHERE {s_is_g} OFFSET 0)
    RETURNING 1)
SELECT count(*) FROM deleted

-- name: delete_keys
DELETE FROM {keys} AS t USING {going} AS g
WHERE {t_found_by_g} AND g._gone_at IS NOT NULL AND NOT EXISTS (SELECT FROM {staying} AS s WHERE {s_is_g} OFFSET 0)

-- name: mark
WITH marked AS (
    UPDATE {table} AS t SET _gone_at = g._gone_at FROM {going} AS g
    WHERE {t_found_by_g} AND t._gone_at IS DISTINCT FROM g._gone_at
    RETURNING g._gone_at IS NOT NULL AS is_gone)
SELECT count(*) FILTER (WHERE is_gone) FROM marked
