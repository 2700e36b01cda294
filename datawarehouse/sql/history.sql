-- Versions of rows (merge/timeline.py, schema/history_tables.py). Words in braces are identifiers and expressions. What
-- was seen of a key, in the order of its times, makes its versions: a new one where a tracked column differs. All that
-- was seen is kept, in {history} or in {seen}, so that the versions can be made anew in whatever order it comes. As in
-- loader.sql no plan here may depend on statistics.

-- name: begin
INSERT INTO {history} ({columns}, valid_from) SELECT {t_columns}, {begins} FROM {table} AS t WHERE {is_real}

-- name: note_begin
INSERT INTO pipeline_meta (key, value) SELECT %(key)s, coalesce(max(file_id), 0)::text FROM pipeline_file_log
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: last_before
-- The last file before the table had a history.
SELECT coalesce((SELECT value::bigint FROM pipeline_meta WHERE key = %(key)s), 0)

-- name: since_its_time
coalesce({time}, '-infinity')

-- name: since_its_file
coalesce((SELECT l.as_of FROM pipeline_file_log l WHERE l.file_id = t._file_id), '-infinity')

-- name: create
CREATE TEMPORARY TABLE IF NOT EXISTS {timeline} ON COMMIT DROP AS
SELECT {columns}, valid_from AS seen_at, version_id, true AS is_seen, true AS is_version, valid_to, _ended_by
FROM {history} WITH NO DATA

-- name: empty
TRUNCATE {timeline}

-- name: lock
-- Of keys that are placed by two transactions at once the second sees what the first has made of them.
SELECT FROM (SELECT {s_key} FROM {stage} AS s WHERE s.{row} = ANY ({numbers}) GROUP BY {s_key} ORDER BY {s_key}) AS s
CROSS JOIN LATERAL (SELECT FROM {keys} AS k WHERE {k_is_s} LIMIT 1 FOR NO KEY UPDATE) AS k

-- name: of_stage
-- What the staged rows {numbers} say, and their keys.
placed AS (SELECT {s_columns}, {at} AS seen_at FROM {stage} AS s WHERE s.{row} = ANY ({numbers})),
keys AS (SELECT {key} FROM placed GROUP BY {key}),
absent AS ({taken_away})

-- name: of_affected
-- Nothing new of keys that are to be made anew.
placed AS (SELECT {columns}, valid_from AS seen_at FROM {history} WHERE false),
keys AS (SELECT {key} FROM {affected}),
absent AS ({taken_away})

-- name: of_absent
-- Keys that files lack, and those that are only to be made anew.
placed AS (SELECT {columns}, valid_from AS seen_at FROM {history} WHERE false),
keys AS (SELECT {key} FROM {absent} GROUP BY {key}),
absent AS (SELECT {key}, _ended_by, valid_to FROM {absent} WHERE valid_to IS NOT NULL UNION ALL {taken_away})

-- name: nothing_deleted
SELECT {key}, 0::bigint AS _ended_by, NULL::timestamp AS valid_to FROM placed WHERE false

-- name: deleted
-- Of the keys, what files told to be deleted.
SELECT {s_key}, h._file_id AS _ended_by, h.gone_at AS valid_to
FROM keys AS s CROSS JOIN LATERAL (SELECT * FROM {deletes} AS h WHERE {h_is_s} OFFSET 0) AS h

-- name: lacked
-- Of the keys that a snapshot has told of, what others of its time lack: where no version ended, nothing else tells it.
SELECT {s_key}, l.file_id AS _ended_by, l.as_of AS valid_to
FROM keys AS s CROSS JOIN LATERAL (SELECT h.seen_at, h._file_id FROM {seen} AS h WHERE {h_is_s} OFFSET 0) AS h
JOIN pipeline_file_log AS l ON l.source_table = {table_name} AND l.as_of = h.seen_at AND l.status = 'success'
JOIN file_keys AS k ON k.file_id = l.file_id AND k.held IS NOT NULL
WHERE l.file_id <> h._file_id AND k.unreadable = 0
  AND NOT (k.held + '{{}}' @> {s_number} OR k.refused + '{{}}' @> {s_number})

-- name: gather
-- All that was seen of the `keys`, with what is `placed` now, and what becomes of it. An end (`gone`) is seen as well,
-- and has no values. Of what was seen at one time that of the latest file counts; a file that is read again says nothing
-- new.
WITH {given}, versions AS (
    SELECT h.* FROM keys AS s CROSS JOIN LATERAL (SELECT * FROM {history} AS h WHERE {h_is_s} OFFSET 0) AS h
), all_seen AS (
    SELECT {columns}, valid_from AS seen_at, version_id, false AS is_seen, false AS gone FROM versions
    UNION ALL
    SELECT {h_columns}, h.seen_at, NULL, true, false
    FROM keys AS s CROSS JOIN LATERAL (SELECT * FROM {seen} AS h WHERE {h_is_s} OFFSET 0) AS h
    UNION ALL
    SELECT {columns}, seen_at, NULL, false, false FROM placed
    UNION ALL
    SELECT {ended_columns}, valid_to, NULL, false, true FROM versions WHERE _ended_by IS NOT NULL
    UNION ALL
    SELECT {ended_columns}, valid_to, NULL, false, true FROM absent
), ordered AS (
    SELECT a.*, row_number() OVER (PARTITION BY {a_key}, seen_at ORDER BY f.as_of DESC, f.modified_at DESC,
                                   f.name DESC, f.md5 DESC, version_id NULLS LAST, is_seen DESC) = 1 AS counts,
           NOT is_seen AND version_id IS NULL AND NOT gone
               AND count(*) FILTER (WHERE (is_seen OR version_id IS NOT NULL))
                   OVER (PARTITION BY {a_key}, seen_at, a._file_id) > 0 AS is_known
    FROM all_seen AS a
    CROSS JOIN LATERAL ({file_time}) AS f
), begun AS (
    SELECT *, NOT gone AND {begins} AS is_version FROM ordered WHERE counts
    WINDOW w AS (PARTITION BY {key} ORDER BY seen_at)
), ended AS (
    SELECT *, lead(seen_at) OVER w AS valid_to, lead(CASE WHEN gone THEN _file_id END) OVER w AS ended_by
    FROM begun WHERE is_version OR gone
    WINDOW w AS (PARTITION BY {key} ORDER BY seen_at)
)
INSERT INTO {timeline}
SELECT {columns}, seen_at, version_id, is_seen, true, coalesce(valid_to, 'infinity'), ended_by
FROM ended WHERE is_version
UNION ALL
SELECT {columns}, seen_at, version_id, is_seen, false, NULL, NULL FROM begun WHERE NOT is_version AND NOT gone
UNION ALL
SELECT {columns}, seen_at, version_id, is_seen, false, NULL, NULL FROM ordered WHERE NOT counts AND NOT gone AND NOT is_known

-- name: begins
-- Does what was seen begin a version? It is the first, follows an end, or differs from what was seen before.
(lag(seen_at) OVER w IS NULL OR lag(gone) OVER w OR ({now}) IS DISTINCT FROM ({before}))

-- name: write
-- Versions that are none any more go first, then others end elsewhere: so no two overlap at any moment.
DELETE FROM {history} AS h USING {timeline} AS n WHERE h.version_id = n.version_id AND NOT n.is_version;
UPDATE {history} AS h SET valid_to = n.valid_to, _ended_by = n._ended_by
FROM {timeline} AS n
WHERE h.version_id = n.version_id AND n.is_version
  AND (h.valid_to, h._ended_by) IS DISTINCT FROM (n.valid_to, n._ended_by);
DELETE FROM {seen} AS h USING {timeline} AS n
WHERE n.is_seen AND n.is_version AND {h_is_n} AND h.seen_at = n.seen_at AND h._file_id = n._file_id;
INSERT INTO {history} ({columns}, valid_from, valid_to, _ended_by)
SELECT {columns}, seen_at, valid_to, _ended_by FROM {timeline} AS n WHERE n.is_version AND n.version_id IS NULL;
INSERT INTO {seen} ({columns}, seen_at)
SELECT {columns}, seen_at FROM {timeline} AS n WHERE NOT n.is_version AND NOT n.is_seen
ON CONFLICT DO NOTHING
