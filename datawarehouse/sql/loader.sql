-- Words in braces are identifiers and expressions that datawarehouse/loader.py puts in.

-- name: conflicts
-- Which staged rows have a key that is there already: brought by an earlier chunk of the same file, or by an earlier
-- file, then perhaps with other values. The LATERAL with LIMIT keeps it to one index look-up a row, however large
-- the table is.
WITH found AS (
    SELECT s._row, s.{key}, t._file_id = s._file_id{or_seen} AS in_this_file, {changed} AS changed
    FROM {stage} AS s
    CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE t.{key} = s.{key} LIMIT 1) AS t{seen_join}
){remember}
SELECT count(*) FILTER (WHERE NOT in_this_file AND changed),
       array_agg(_row) FILTER (WHERE in_this_file),
       array_agg(_row) FILTER (WHERE NOT in_this_file AND %(list_present)s)
FROM found

-- name: remember
, remembered AS (INSERT INTO {seen} SELECT {key} FROM found WHERE NOT in_this_file ON CONFLICT DO NOTHING)

-- name: insert
INSERT INTO {table} AS t ({columns})
SELECT {expressions} FROM {stage} AS s{joins}
ON CONFLICT ({key}) DO NOTHING

-- name: upsert
-- xmax is 0 in a row that was inserted, and set in one that was updated.
WITH merged AS (
    INSERT INTO {table} AS t ({columns})
    SELECT {expressions} FROM {stage} AS s{joins}
    ON CONFLICT ({key}) DO UPDATE SET {assignments}, _loaded_at = now()
    WHERE t._file_id <> excluded._file_id AND t.{newer} < excluded.{newer} AND {differs}
    RETURNING t.xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted) FROM merged
