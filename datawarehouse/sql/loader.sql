-- Words in braces are identifiers and expressions that datawarehouse/load_sql.py puts in, and the parts that a way of
-- merging has of its own (sql/merge_*.sql). No plan here may depend on
-- statistics: those of a table that is being filled may say that it is empty. So each staged row looks its key up by
-- the index, in a LATERAL with LIMIT or a subquery with OFFSET 0, which the planner leaves as they are.

-- name: settings
-- The years of the calendar; and, for this transaction: the foreign keys' triggers are left out where the role may do
-- that, and nobody else's trigger is left out with them: every parent is proved and locked by the load itself. All
-- that a load reads it reads by keys: a table that was never analysed must not mislead the planner into reading the
-- whole of it, nor into compiling the query. What is to be checked at COMMIT is checked at once, so that it costs a
-- row and not the file.
SET CONSTRAINTS ALL IMMEDIATE;
SELECT (SELECT min(date_key) / 10000 FROM dim_date), (SELECT max(date_key) / 10000 FROM dim_date),
       set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       CASE WHEN (current_setting('is_superuser')::boolean OR {may}) AND NOT EXISTS ({triggers}) THEN
           set_config('session_replication_role', 'replica', true) END

-- name: create_stage
CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DROP AS SELECT 0::bigint AS {row}, false AS {told_again}, {columns} FROM {table} WITH NO DATA

-- name: empty_stage
TRUNCATE {stage}

-- name: look
-- Which staged rows have a key that is there already. `own`: the row that is there is of the same file. `repeats`: the
-- file has brought the same before. Others are newer than the row that is there, or older, or neither: then perhaps
-- with other values than another file's. Of rows of one file with one key the older ones are stale, whichever came first.
WITH found AS (
    SELECT s.{row} AS number, {staged_key}, t._file_id = s._file_id AS own, {repeats} {or_seen} AS repeats,
           {newer_than_there} AS newer, {changed} AS changed, {older} AS older,
           {tells_nothing} AS tells_nothing{time}{trace}
    FROM {stage} AS s
    {there} {seen_join}
){remember}
SELECT count(*) FILTER (WHERE NOT repeats),
       count(*) FILTER (WHERE NOT repeats AND NOT newer AND NOT own AND changed AND NOT older),
       coalesce(array_agg(number) FILTER (WHERE repeats), '{{}}'),
       coalesce(array_agg(number) FILTER (WHERE NOT repeats AND newer), '{{}}'),
       coalesce(array_agg(number) FILTER (WHERE NOT repeats AND (own OR NOT newer) AND {list_rows}), '{{}}'),
       coalesce(array_agg(number) FILTER (WHERE NOT repeats AND newer AND NOT own AND {list_rows}), '{{}}'),
       coalesce(array_agg(number) FILTER (WHERE NOT repeats AND NOT newer AND NOT own AND changed AND NOT older
                                          AND {list_rows}), '{{}}'),
       count(*) FILTER (WHERE NOT repeats AND newer AND own),
       count(*) FILTER (WHERE NOT repeats AND (older OR (newer AND own))),
       coalesce(array_agg(number) FILTER (WHERE NOT repeats AND (older OR (newer AND own)) AND {list_rows}), '{{}}'),
       coalesce(array_agg(number) FILTER (WHERE {list_settled} AND (repeats OR tells_nothing)), '{{}}'),
       {traces}
FROM found

-- name: trace
, {told_number} AS told_number, s._file_id AS file_id

-- name: traces
-- Rows that tell again what is there, and are not from there: files, and what their rows tell of, as numbers.
string_agg(int8send(file_id), ''::bytea) FILTER (WHERE NOT repeats AND NOT own AND NOT newer AND tells_nothing),
       string_agg(int8send(told_number), ''::bytea) FILTER (WHERE NOT repeats AND NOT own AND NOT newer AND tells_nothing)

-- name: or_seen_distributed
OR k.k0 IS NOT NULL

-- name: seen_join_distributed
-- Citus plans no correlated subquery here.
LEFT JOIN {seen} AS k ON {seen_is_s}

-- name: there
-- The row with a staged row's key.
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_s} LIMIT 1) AS t

-- name: there_partitioned
-- The key tells in which partition the row is.
CROSS JOIN LATERAL (SELECT {by} FROM {keys} AS k WHERE {k_is_s} LIMIT 1) AS p
    CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_s} AND t.{by} = p.{by} LIMIT 1) AS t

-- name: there_distributed
-- Citus takes no LATERAL with LIMIT here; the servers get the staged rows and join.
JOIN {table} AS t ON {t_is_s}

-- name: placeholders
-- Staged rows whose key has a placeholder in the table. Where that has none at all, nothing else is looked at.
SELECT s.{row} FROM {stage} AS s
{there}
WHERE EXISTS (SELECT FROM {table} WHERE _placeholder) AND coalesce(t._placeholder, false)

-- name: fill
-- They take its place, whatever the way of merging: a placeholder tells nothing. By the key's own index, see `update`.
UPDATE {table} AS t SET {assignments}, _placeholder = false, _loaded_at = now()
FROM {stage} AS s
WHERE s.{row} = ANY ({numbers}) AND {t_found_by_s} AND coalesce(t._placeholder, false)
RETURNING s.{row}

-- name: fill_partitioned
-- It goes to the partition of its time, and its key follows.
WITH filled AS (
    UPDATE {table} AS t SET {assignments}, _placeholder = false, _loaded_at = now()
    FROM {stage} AS s
    WHERE s.{row} = ANY ({numbers}) AND {t_found_by_s} AND t.{by} = 'infinity' AND coalesce(t._placeholder, false)
    RETURNING s.{row} AS number, {t_key}, t.{by}
), moved AS (
    UPDATE {keys} AS k SET {by} = u.{by} FROM filled AS u WHERE {k_found_by_u}
)
SELECT number FROM filled

-- name: unstage
DELETE FROM {stage} AS s WHERE s.{row} = ANY ({numbers})

-- name: insert
-- The keys that are there are left out first, since each attempt would use up a surrogate key.
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
WHERE NOT EXISTS (SELECT FROM {table} AS o WHERE {o_is_s} OFFSET 0)
ON CONFLICT ({key}) DO NOTHING

-- name: insert_distributed
-- Uses up surrogate keys: a look at the table for each staged row would be correlated, which Citus takes only sometimes.
-- The rows that come back are counted: its own count has rows that were not inserted (citus issue 3377).
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
ON CONFLICT ({key}) DO NOTHING
RETURNING 1

-- name: insert_partitioned
WITH new_keys AS (
    INSERT INTO {keys} AS t ({key}, {by})
    SELECT {key}, {by} FROM {stage} AS s
    WHERE NOT EXISTS (SELECT FROM {keys} AS o WHERE {o_is_s} OFFSET 0)
    ON CONFLICT ({key}) DO NOTHING
    RETURNING {t_key}
)
INSERT INTO {table} ({columns})
SELECT {columns} FROM {stage} AS s WHERE ({s_key}) IN (SELECT {n_key} FROM new_keys AS n)

-- name: update
-- ANY of an array of one: an equality that no join but the look-up by the index can use.
WITH updated AS (
    UPDATE {table} AS t SET {assignments}, _loaded_at = now()
    FROM {stage} AS s
    WHERE s.{row} = ANY ({numbers}) AND {t_found_by_s} AND {is_newer}
    RETURNING 1
)
SELECT count(*) FROM updated

-- name: lock_keys
-- Known keys are locked first, in one order: what is found of their rows then stays so.
SELECT FROM (SELECT {s_key} FROM {stage} AS s ORDER BY {s_key}) AS s
CROSS JOIN LATERAL (SELECT FROM {keys} AS k WHERE {k_is_s} LIMIT 1 FOR NO KEY UPDATE) AS k

-- name: update_partitioned
-- A row that has another time now goes to another partition, and its key follows: foreign keys are checked when both
-- are done.
WITH newer AS (
    SELECT s.*, p.{by} AS {before}
    FROM {stage} AS s
    CROSS JOIN LATERAL (SELECT {by} FROM {keys} AS k WHERE {k_is_s} LIMIT 1) AS p
    WHERE s.{row} = ANY ({numbers})
), updated AS (
    UPDATE {table} AS t SET {assignments}, _loaded_at = now()
    FROM newer AS s
    WHERE {t_found_by_s} AND t.{by} = ANY (ARRAY[s.{before}]) AND {is_newer}
    RETURNING {t_key}, t.{by}
), moved AS (
    UPDATE {keys} AS k SET {by} = u.{by} FROM updated AS u
    WHERE {k_found_by_u} AND k.{by} <> u.{by}
)
SELECT count(*) FROM updated

-- name: left_out
-- How many staged rows are not in the table, and nothing newer in their place.
SELECT count(*) FROM {stage} AS s
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {t_is_s} AND NOT ({is_newer}) OFFSET 0)
