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
-- All that was seen of keys. `_told_at` is the time by which it is stored, `seen_at` the one since when it counts; `_life`
-- and `_life_end` are of types whose snapshots take rows away: when others said before it and after it that the key is gone.
CREATE TEMPORARY TABLE IF NOT EXISTS {timeline} ON COMMIT DROP AS
SELECT {columns}, valid_from AS seen_at, valid_from AS _told_at, version_id, true AS _is_seen, true AS _is_version, valid_to,
       _ended_by, valid_from AS _life, valid_to AS _life_end
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
keys AS (SELECT {key} FROM {affected} GROUP BY {key}),
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

-- name: gather
-- All that was seen of the `keys`, with what is `placed` now, and what becomes of it. An end (`_gone`) is seen as well,
-- and has no values. Of what was seen at one time that of the latest file counts; a file that is read again says nothing
-- new.
WITH {given}, versions AS (
    SELECT h.* FROM keys AS s CROSS JOIN LATERAL (SELECT * FROM {history} AS h WHERE {h_is_s} OFFSET 0) AS h
), told AS (
    SELECT {columns}, valid_from AS _told_at, version_id, false AS _is_seen FROM versions
    UNION ALL
    SELECT {h_columns}, h.seen_at, NULL, true
    FROM keys AS s CROSS JOIN LATERAL (SELECT * FROM {seen} AS h WHERE {h_is_s} OFFSET 0) AS h
    UNION ALL
    SELECT {columns}, seen_at, NULL, false FROM placed
), ended AS (
    SELECT {key}, _ended_by, valid_to FROM versions WHERE _ended_by IS NOT NULL
    UNION ALL
    SELECT {key}, _ended_by, valid_to FROM absent WHERE valid_to IS NOT NULL
), {words}, ordered AS (
    SELECT *, row_number() OVER w = 1 AND _counts AS _is_word,
           NOT _is_seen AND version_id IS NULL AND NOT _gone
               AND count(*) FILTER (WHERE (_is_seen OR version_id IS NOT NULL))
                   OVER (PARTITION BY {key}, seen_at, _file_id) > 0 AS _is_known
    FROM words
    WINDOW w AS (PARTITION BY {key}, seen_at ORDER BY _counts DESC, _file_time DESC, version_id NULLS LAST, _is_seen DESC)
), begun AS (
    SELECT *, NOT _gone AND {begins} AS _is_version FROM ordered WHERE _is_word
    WINDOW w AS (PARTITION BY {key} ORDER BY seen_at)
), placed_in_time AS (
    SELECT *, coalesce(lead(seen_at) OVER w, 'infinity') AS valid_to,
           lead(CASE WHEN _gone THEN _file_id END) OVER w AS _ended_by
    FROM begun WHERE _is_version OR _gone
    WINDOW w AS (PARTITION BY {key} ORDER BY seen_at)
)
INSERT INTO {timeline}
SELECT {columns}, seen_at, _told_at, CASE WHEN seen_at = _told_at THEN version_id END, _is_seen, true, valid_to, _ended_by,
       _life, _life_end
FROM placed_in_time WHERE _is_version
UNION ALL
-- A version that begins at another time is another version.
SELECT {columns}, seen_at, _told_at, version_id, true, false, NULL, NULL, _life, _life_end
FROM placed_in_time WHERE _is_version AND version_id IS NOT NULL AND seen_at <> _told_at
UNION ALL
SELECT {columns}, seen_at, _told_at, version_id, _is_seen, false, NULL, NULL, _life, _life_end
FROM begun WHERE NOT _is_version AND NOT _gone
UNION ALL
SELECT {columns}, seen_at, _told_at, version_id, _is_seen, false, NULL, NULL, _life, _life_end
FROM ordered WHERE NOT _is_word AND NOT _gone AND NOT _is_known

-- name: words_by_time
-- Rows and deletes are words at their own times.
words AS (
    SELECT t.*, _told_at AS seen_at, false AS _gone, true AS _counts, ROW(f.*) AS _file_time,
           '-infinity'::timestamp AS _life, NULL::timestamp AS _life_end
    FROM told AS t CROSS JOIN LATERAL ({t_file_time}) AS f
    UNION ALL
    SELECT {ended_columns}, valid_to, NULL, false, valid_to, true, true, ROW(f.*), NULL, NULL
    FROM (SELECT *, _ended_by AS _file_id FROM ended) AS t CROSS JOIN LATERAL ({t_file_time}) AS f
)

-- name: words_by_snapshots
-- Each snapshot has a key, or lacks it, or says nothing of it; at one time the later one's word stands. From one that has
-- a key to one that lacks it is one life of it. Its rows are in force from their own times on; those that are no newer
-- than the last snapshot that lacked it, from that of their file, as long as each is the newest, and no other has begun.
told_by AS (
    SELECT t.*, coalesce(f.as_of, _told_at) AS _as_of, ROW(f.*) AS _file_time
    FROM told AS t CROSS JOIN LATERAL ({t_file_time}) AS f
), files AS (
    SELECT DISTINCT _file_id, _as_of FROM told_by
), asked AS (
    {asked}
), snapshots AS (
    SELECT k.file_id AS _file_id, l.as_of, k.held + '{{}}' AS held, k.refused + '{{}}' AS refused, k.unreadable = 0 AS takes_away,
           ROW(l.as_of, l.modified_at, l.file_name::text COLLATE "C", l.file_hash::text COLLATE "C") AS file_time
    FROM pipeline_file_log AS l JOIN file_keys AS k ON k.file_id = l.file_id AND k.held IS NOT NULL
    WHERE l.source_table = {table_name} AND l.status = 'success'
      AND (l.as_of BETWEEN (SELECT min(since) FROM asked) AND (SELECT max(until) FROM asked)
           OR EXISTS (SELECT FROM files AS f WHERE f._as_of = l.as_of AND f._file_id <> l.file_id))
    OFFSET 0
), lacking AS (
    SELECT {s_key}, t._file_id, t.as_of, t.file_time
    FROM asked AS s JOIN snapshots AS t ON t.as_of >= s.since
    WHERE t.takes_away AND NOT t.held @> {s_number} AND NOT t.refused @> {s_number}
    UNION ALL
    SELECT {s_key}, t._file_id, t.as_of, t.file_time
    FROM told_by AS s JOIN snapshots AS t ON t.as_of = s._as_of AND t._file_id <> s._file_id
    WHERE t.takes_away AND NOT t.held @> {s_number} AND NOT t.refused @> {s_number}
    UNION ALL
    SELECT {t_key}, t._file_id, t.valid_to, ROW(f.*)
    FROM (SELECT *, _ended_by AS _file_id FROM ended) AS t CROSS JOIN LATERAL ({t_file_time}) AS f
), said AS (
    SELECT t.*, {own_time} AS _at, 'told' AS _word FROM told_by AS t
    UNION ALL
    SELECT {gone_columns}, s.as_of, NULL, false, s.as_of, s.file_time, NULL, 'lacks' FROM lacking AS s
    UNION ALL
    SELECT {gone_columns}, s.as_of, NULL, false, s.as_of, t.file_time, NULL, 'has'
    FROM lacking AS s JOIN snapshots AS t ON t.as_of = s.as_of AND t.file_time > s.file_time AND t.held @> {s_number}
), ordered_words AS (
    SELECT *, coalesce(bool_or(_word = 'lacks') OVER later, false) AS _lacked_later,
           coalesce(bool_or(_word <> 'lacks') OVER later, false) AS _had_later,
           min(_as_of) FILTER (WHERE _word = 'told') OVER (PARTITION BY {key}) AS _first
    FROM said
    WINDOW later AS (PARTITION BY {key}, _as_of ORDER BY _file_time ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
), known AS (
    SELECT *, _word = 'lacks' AS _gone, _word = 'told' AND _lacked_later AS _in_vain FROM ordered_words
    WHERE _word = 'told' OR (_word = 'lacks' AND NOT (_lacked_later OR _had_later) AND _as_of >= _first)
), lives AS (
    SELECT *, coalesce(max(_as_of) FILTER (WHERE _gone) OVER (by_time RANGE UNBOUNDED PRECEDING EXCLUDE GROUP), '-infinity') AS _life,
           CASE WHEN bool_or(_gone) OVER (PARTITION BY {key}, _as_of) THEN _as_of
                ELSE coalesce(min(_as_of) FILTER (WHERE _gone)
                                  OVER (by_time RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP), 'infinity')
           END AS _life_end
    FROM known
    WINDOW by_time AS (PARTITION BY {key} ORDER BY _as_of)
), timed AS (
    SELECT *, _at > _life OR _life = '-infinity' AS _in_time, _in_vain AND _life_end <> _as_of AS _is_replaced FROM lives
), words AS (
    SELECT {columns}, _told_at, version_id, _is_seen,
           CASE WHEN _gone OR _counts AND NOT _in_time THEN _as_of WHEN _is_replaced THEN '-infinity' ELSE _at END AS seen_at,
           _gone, _gone OR _counts AS _counts, _file_time, _life, _life_end
    FROM (
        SELECT *, NOT (_gone OR _in_vain) AND CASE
            WHEN _in_time THEN _at < _life_end
            ELSE _at >= max(_at) FILTER (WHERE NOT (_gone OR _in_vain OR _in_time))
                            OVER (PARTITION BY {key}, _life ORDER BY _file_time, _at ROWS UNBOUNDED PRECEDING)
                 AND _as_of < coalesce(min(_at) FILTER (WHERE _in_time AND NOT (_gone OR _in_vain))
                                           OVER (PARTITION BY {key}, _life), 'infinity')
            END AS _counts
        FROM timed) AS t
)

-- name: asked_since_gone
-- Keys of which snapshots are asked that are of a time since the first end of the key.
SELECT {key}, min(valid_to) AS since, greatest(max(valid_to), (SELECT max(_as_of) FROM files)) AS until
FROM ended GROUP BY {key}

-- name: asked_since_told
-- All keys, and all snapshots since each was told of: what ended its versions may not be known any more.
SELECT {key}, min(_as_of) AS since, 'infinity'::timestamp AS until FROM told_by GROUP BY {key}

-- name: begins
-- Does what was seen begin a version? It is the first, follows an end, or differs from what was seen before.
(lag(seen_at) OVER w IS NULL OR lag(_gone) OVER w OR ({now}) IS DISTINCT FROM ({before}))

-- name: write
-- Versions that are none any more go first, then others end elsewhere: so no two overlap at any moment.
DELETE FROM {history} AS h USING {timeline} AS n WHERE h.version_id = n.version_id AND NOT n._is_version;
UPDATE {history} AS h SET valid_to = n.valid_to, _ended_by = n._ended_by
FROM {timeline} AS n
WHERE h.version_id = n.version_id AND n._is_version
  AND (h.valid_to, h._ended_by) IS DISTINCT FROM (n.valid_to, n._ended_by);
DELETE FROM {seen} AS h USING {timeline} AS n
WHERE n._is_seen AND n._is_version AND {h_is_n} AND h.seen_at = n._told_at AND h._file_id = n._file_id;
INSERT INTO {history} ({columns}, valid_from, valid_to, _ended_by)
SELECT {columns}, seen_at, valid_to, _ended_by FROM {timeline} AS n WHERE n._is_version AND n.version_id IS NULL;
INSERT INTO {seen} ({columns}, seen_at)
SELECT {columns}, _told_at FROM {timeline} AS n WHERE NOT n._is_version AND NOT n._is_seen
ON CONFLICT DO NOTHING
