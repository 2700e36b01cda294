-- Rows that are bound to the version of their parent that was valid at their time (datawarehouse/versions.py). A row of a
-- time before the first version is bound to that. Words in braces are identifiers and expressions. As in loader.sql no
-- plan here may depend on statistics.

-- name: of_keys
-- The versions of some keys, by the keys' numbers, for one of several bindings; times in microseconds.
SELECT {number}, w.number - 1, h.version_id,
       CASE WHEN h.valid_from = '-infinity' THEN {before} ELSE (extract(epoch FROM h.valid_from) * 1000000)::bigint END
FROM unnest({wanted}) WITH ORDINALITY AS w ({numbers}, number)
CROSS JOIN LATERAL (SELECT * FROM {history} AS t WHERE {is_wanted} OFFSET 0) AS h

-- name: create_moved
-- Keys whose versions are others now, and since when.
CREATE TEMPORARY TABLE IF NOT EXISTS {moved} ({key_columns}, since timestamp) ON COMMIT DROP

-- name: note
-- Of the keys that were placed (merge/timeline.py): versions that came or went. A key that is new has no rows yet.
INSERT INTO {moved}
WITH marked AS (
    SELECT {key}, seen_at, CASE WHEN _is_version THEN version_id IS NULL ELSE version_id IS NOT NULL END AS moves,
           seen_at = min(seen_at) FILTER (WHERE _is_version OR version_id IS NOT NULL) OVER (PARTITION BY {key}) AS is_first,
           bool_or(version_id IS NOT NULL OR {is_filled}) OVER (PARTITION BY {key}) AS is_known
    FROM {timeline}
)
SELECT {key}, min(CASE WHEN is_first THEN '-infinity' ELSE seen_at END) FROM marked
WHERE moves AND is_known GROUP BY {key}

-- name: note_of_file
-- The keys of which a file told.
INSERT INTO {moved}
SELECT {key}, '-infinity' FROM (
    SELECT {key} FROM {history} WHERE _file_id = {file_id} OR _ended_by = {file_id}
    UNION SELECT {key} FROM {seen} WHERE _file_id = {file_id}) AS f

-- name: note_key
INSERT INTO {moved} VALUES ({values}, '-infinity')

-- name: any_moved
SELECT count(*), min(since)::text FROM {moved}

-- name: intervals
-- Versions as rows are bound to them: the first from the beginning of times, each until the next one.
SELECT {key}, version_id, CASE WHEN lag(version_id) OVER w IS NULL THEN '-infinity' ELSE valid_from END AS since,
       lead(valid_from) OVER w AS until
FROM {versions} WINDOW w AS (PARTITION BY {key} ORDER BY valid_from)

-- name: of_moved
(SELECT h.*, m.since AS moved_since
 FROM (SELECT {key}, min(since) AS since FROM {moved} GROUP BY {key}) AS m
 CROSS JOIN LATERAL (SELECT * FROM {history} AS t WHERE {t_is_m} OFFSET 0) AS h) AS h

-- name: bind_moved
-- By the index of the rows' foreign key: an equality that no other join can use.
UPDATE {child} AS c SET {column} = v.version_id
FROM ({intervals}) AS v
WHERE {c_found_by_v} AND {at} >= v.since AND ({at} < v.until OR v.until IS NULL){bound}
  AND c.{column} IS DISTINCT FROM v.version_id

-- name: bind
UPDATE {child} AS c SET {column} = v.version_id
FROM ({intervals}) AS v
WHERE {c_is_v} AND {at} >= v.since AND ({at} < v.until OR v.until IS NULL){bound}
  AND c.{column} IS DISTINCT FROM v.version_id

-- name: bind_files
-- Rows of files that were loaded while versions moved.
UPDATE {child} AS c SET {column} = v.version_id
FROM (SELECT o.ctid AS place, o.tableoid AS part,
             (SELECT t.version_id FROM {history} AS t WHERE {t_is_o}
              ORDER BY t.valid_from <= {o_at} DESC, CASE WHEN t.valid_from <= {o_at} THEN t.valid_from END DESC,
                       t.valid_from
              LIMIT 1) AS version_id
      FROM {child} AS o WHERE o._file_id = ANY ({file_ids}) AND {o_at} IS NOT NULL) AS v
WHERE c.ctid = v.place AND c.tableoid = v.part AND c.{column} IS DISTINCT FROM v.version_id

-- name: unbind
-- Rows whose parent has no version any more.
UPDATE {child} AS c SET {column} = NULL
FROM (SELECT DISTINCT {key} FROM {moved}) AS v
WHERE {c_is_v} AND c.{column} IS NOT NULL AND NOT EXISTS (SELECT FROM {history} AS t WHERE {t_is_v} OFFSET 0)

-- name: wrong
-- Rows that are bound to another version than that of their time, by file.
SELECT c._file_id AS file_id, l.file_name, %(table)s AS "table", %(what)s AS what, 0 AS expected, count(*) AS found
FROM {child} AS c
LEFT JOIN ({intervals}) AS v ON {c_is_v} AND {at} >= v.since AND ({at} < v.until OR v.until IS NULL)
LEFT JOIN pipeline_file_log l ON l.file_id = c._file_id
WHERE c.{column} IS DISTINCT FROM v.version_id
GROUP BY 1, 2
ORDER BY 1
