-- Words in braces are identifiers and expressions that datawarehouse/loader.py puts in.

-- name: settings
-- The years of the calendar; and, for this transaction: the foreign keys' triggers are left out where the role may do
-- that: every parent is proved and locked by the load itself. All that a load reads it reads by keys: a table that was
-- never analysed must not mislead the planner into reading the whole of it, nor into compiling the query.
SELECT (SELECT min(date_key) / 10000 FROM dim_date), (SELECT max(date_key) / 10000 FROM dim_date),
       set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       CASE WHEN current_setting('is_superuser')::boolean OR {may} THEN
           set_config('session_replication_role', 'replica', true) END

-- name: conflicts
-- Which staged rows have a key that is there already: brought by an earlier chunk of the same file, or by an earlier
-- file, then perhaps with other values.
WITH found AS (
    SELECT s._row, s.{key}, t._file_id = s._file_id{or_seen} AS in_this_file, {changed} AS changed
    FROM {stage} AS s
    {there}{seen_join}
){remember}
SELECT count(*) FILTER (WHERE NOT in_this_file),
       count(*) FILTER (WHERE NOT in_this_file AND changed),
       array_agg(_row) FILTER (WHERE in_this_file),
       array_agg(_row) FILTER (WHERE NOT in_this_file AND %(list_present)s),
       array_agg(_row) FILTER (WHERE NOT in_this_file AND changed AND %(list_present)s)
FROM found

-- name: remember
, remembered AS (INSERT INTO {seen} SELECT {key} FROM found WHERE NOT in_this_file ON CONFLICT DO NOTHING)

-- name: there
-- The row with a staged row's key. The LATERAL with LIMIT keeps it to one index look-up a row, however large the table.
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE t.{key} = s.{key} LIMIT 1) AS t

-- name: there_partitioned
-- The key tells in which partition the row is.
CROSS JOIN LATERAL (SELECT {by} FROM {keys} AS k WHERE k.{key} = s.{key} LIMIT 1) AS p
    CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE t.{key} = s.{key} AND t.{by} = p.{by} LIMIT 1) AS t

-- name: there_distributed
-- Citus takes no LATERAL with LIMIT here; the servers get the staged rows and join.
JOIN {table} AS t ON t.{key} = s.{key}

-- name: insert
-- The keys that are there are left out first, since each attempt would use up a surrogate key.
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
WHERE NOT EXISTS (SELECT FROM {table} AS o WHERE o.{key} = s.{key})
ON CONFLICT ({key}) DO NOTHING

-- name: insert_distributed
-- Uses up surrogate keys: a look at the table for each staged row would be correlated, which Citus takes only sometimes.
-- The rows that come back are counted: its own count has rows that were not inserted (citus issue 3377).
INSERT INTO {table} AS t ({columns})
SELECT {columns} FROM {stage} AS s
ON CONFLICT ({key}) DO NOTHING
RETURNING 1

-- name: upsert
-- Duplicates have left the stage. xmax is 0 in a row that was inserted, and set in one that was updated.
WITH merged AS (
    INSERT INTO {table} AS t ({columns})
    SELECT {columns} FROM {stage} AS s
    ON CONFLICT ({key}) DO UPDATE SET {assignments}, _loaded_at = now()
    WHERE t.{newer} < excluded.{newer} AND {differs}
    RETURNING t.{key}, t.xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted),
       array_agg((SELECT s._row FROM {stage} AS s WHERE s.{key} = m.{key}))
           FILTER (WHERE NOT inserted AND %(list_present)s)
FROM merged AS m

-- name: insert_partitioned
WITH new_keys AS (
    INSERT INTO {keys} AS t ({key}, {by})
    SELECT {key}, {by} FROM {stage} AS s
    WHERE NOT EXISTS (SELECT FROM {keys} AS o WHERE o.{key} = s.{key})
    ON CONFLICT ({key}) DO NOTHING
    RETURNING t.{key}
)
INSERT INTO {table} ({columns})
SELECT {columns} FROM {stage} AS s WHERE s.{key} IN (SELECT n.{key} FROM new_keys AS n)

-- name: upsert_partitioned
-- Known keys are locked first, in one order: what is found of their rows then stays so. A row that has another time now
-- goes to another partition, and its key follows: foreign keys are checked when both are done.
SELECT FROM {keys} AS k JOIN {stage} AS s ON s.{key} = k.{key} ORDER BY k.{key} FOR NO KEY UPDATE OF k;
WITH newer AS (
    SELECT s.*, t.{by} AS _before
    FROM {stage} AS s
    {there}
    WHERE t.{newer} < s.{newer} AND {differs}
), updated AS (
    UPDATE {table} AS t SET {assignments}, _loaded_at = now()
    FROM newer AS n
    WHERE t.{key} = n.{key} AND t.{by} = n._before AND t.{newer} < n.{newer}
    RETURNING t.{key}, t.{by}
), moved AS (
    UPDATE {keys} AS k SET {by} = u.{by} FROM updated AS u WHERE k.{key} = u.{key} AND k.{by} <> u.{by}
), new_keys AS (
    INSERT INTO {keys} AS t ({key}, {by})
    SELECT {key}, {by} FROM {stage} AS s
    WHERE NOT EXISTS (SELECT FROM {keys} AS o WHERE o.{key} = s.{key})
    ON CONFLICT ({key}) DO NOTHING
    RETURNING t.{key}
), inserted AS (
    INSERT INTO {table} AS t ({columns})
    SELECT {columns} FROM {stage} AS s WHERE s.{key} IN (SELECT n.{key} FROM new_keys AS n)
    RETURNING t.{key}
)
SELECT (SELECT count(*) FROM inserted), (SELECT count(*) FROM updated),
       (SELECT array_agg(s._row) FROM {stage} AS s JOIN updated AS u ON u.{key} = s.{key} WHERE %(list_present)s)
