-- What a snapshot lacks is gone (datawarehouse/merge/goings.py). Words in braces are identifiers and expressions.

-- name: take_turns
-- What two files of a table lack is found by one after the other.
SELECT pg_advisory_xact_lock(hashtext('fastfeast goings'), hashtext(%(table)s))

-- name: create
-- `going`: rows that are gone by what files say, or not any more. `absent`: which files lack the key, for its versions; or
-- keys whose versions are made anew.
CREATE TEMPORARY TABLE {going} ON COMMIT DROP AS SELECT {key}, _gone_at, true AS was_there FROM {table} WITH NO DATA;
CREATE TEMPORARY TABLE {absent} ON COMMIT DROP AS
SELECT {key}, 0::bigint AS _ended_by, _gone_at AS valid_to FROM {table} WITH NO DATA

-- name: create_held
-- The keys of the file's records, good ones and refused ones.
CREATE TEMPORARY TABLE {held} ({held_columns}, is_good boolean) ON COMMIT DROP

-- name: remember
-- What the file held: keys in a row as one range.
INSERT INTO file_keys (file_id, held, refused, unreadable)
SELECT {file_id}, coalesce(range_agg(int8range(low, high, '[]')) FILTER (WHERE is_good), '{{}}'),
       coalesce(range_agg(int8range(low, high, '[]')) FILTER (WHERE NOT is_good), '{{}}'), {unreadable}
FROM (SELECT min(number) AS low, max(number) AS high, is_good
      FROM (SELECT number, is_good, number - row_number() OVER (PARTITION BY is_good ORDER BY number) AS start
            FROM (SELECT {h_number} AS number, bool_or(is_good) AS is_good FROM {held} AS h GROUP BY 1) AS keys) AS keys
      GROUP BY is_good, start) AS ranges

-- name: by_hash
-- Whole tables are compared, and no statistics may say that one is empty.
SET LOCAL enable_seqscan = on; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off

-- name: by_index
SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = on; SET LOCAL enable_mergejoin = on

-- name: find
INSERT INTO {going}
SELECT {t_key}, {at}::timestamp, true FROM {table} AS t
WHERE t._gone_at IS NULL AND {is_real} AND NOT EXISTS (SELECT FROM {held} AS h WHERE {h_is_t})

-- name: find_back
-- Rows that were gone, and that the file has.
INSERT INTO {going}
SELECT {t_key}, NULL, false FROM {table} AS t
WHERE t._gone_at IS NOT NULL AND EXISTS (SELECT FROM {held} AS h WHERE {h_is_t} AND h.is_good)

-- name: end_versions
INSERT INTO {absent} SELECT {key}, {file_id}, _gone_at FROM {going} WHERE _gone_at IS NOT NULL

-- name: begun_again
-- Keys that the file begins, and that were gone by another since the same time.
INSERT INTO {absent}
SELECT {b_key}, NULL, NULL FROM {history} AS b
WHERE b._file_id = {file_id}
  AND EXISTS (SELECT FROM {history} AS o WHERE {o_is_b} AND o._ended_by IS NOT NULL AND o.valid_to >= b.valid_from OFFSET 0)

-- name: create_came
-- The keys of rows of several files that are loaded already.
CREATE TEMPORARY TABLE {came} ({held_columns}, _file_id bigint) ON COMMIT DROP

-- name: of_came
-- Those of one of the files.
TRUNCATE {held}, {going}, {absent};
INSERT INTO {held} SELECT {h_numbers}, true FROM {came} AS h WHERE h._file_id = {file_id}

-- name: hold
-- The file holds these keys, as if they had been good when it came.
UPDATE file_keys AS k SET held = k.held + h.keys, refused = k.refused - h.keys
FROM (SELECT range_agg(int8range(n, n, '[]')) AS keys FROM (SELECT {h_number} AS n FROM {held} AS h) AS h) AS h
WHERE k.file_id = {file_id} AND k.held IS NOT NULL AND h.keys IS NOT NULL

-- name: add_to_books
UPDATE pipeline_file_log SET gone_records = gone_records + {gone}, removed_records = removed_records + {removed}
WHERE file_id = {file_id}

-- name: create_asked
-- Keys of which later files are asked. `is_last`: of what the last of them says, for the table's row.
DROP TABLE IF EXISTS {asked};
CREATE TEMPORARY TABLE {asked} ON COMMIT DROP AS
SELECT {key}, 0::bigint AS number, true AS lacks, true AS is_last, 0::bigint AS next_file, now()::timestamp AS next_at,
       true AS next_has
FROM {table} WITH NO DATA

-- name: create_later
-- The keys that any later snapshot held.
DROP TABLE IF EXISTS {later};
CREATE TEMPORARY TABLE {later} ON COMMIT DROP AS
SELECT coalesce(range_agg(r), '{{}}') AS held FROM file_keys AS k, unnest(k.held) AS r WHERE k.held IS NOT NULL AND k.file_id = ANY ({later_ids})

-- name: ask_of_rows
INSERT INTO {asked}
SELECT {t_key}, {t_number}, h.is_good IS NULL, true
FROM {table} AS t
LEFT JOIN (SELECT {h_numbers}, bool_or(h.is_good) AS is_good FROM {held} AS h GROUP BY {h_numbers}) AS h ON {h_is_t}
WHERE {is_real} AND h.is_good IS NOT false AND (h.is_good OR {takes}) AND t._file_id <> ALL ({later_ids})
  AND (t._file_id = {file_id} OR NOT (SELECT held + '{{}}' FROM {later}) @> {t_number})

-- name: ask_of_versions
-- Keys that the file has told of, and those that it lacks though they were there then or since.
INSERT INTO {asked}
SELECT {s_key}, {s_number}, s.lacks, false
FROM (SELECT {key}, false AS lacks FROM {history} WHERE _file_id = {file_id}
      UNION SELECT {key}, false FROM {seen} WHERE _file_id = {file_id}
      UNION SELECT {t_key}, true FROM {history} AS t
            WHERE {takes} AND t.valid_to > {at}::timestamp AND NOT EXISTS (SELECT FROM {held} AS h WHERE {h_is_t})) AS s

-- name: ask
-- What the file says of the keys; a record that is refused says no word. Of a key's versions the next word counts, of two
-- of one time the later file's. Of its row the last one does, and of those that lack it the first.
UPDATE {asked} AS a SET next_file = {next}, next_at = l.as_of, next_has = k.held @> a.number
FROM (SELECT held + '{{}}' AS held, refused + '{{}}' AS refused, unreadable > 0 AS spares FROM file_keys
      WHERE file_id = {next} AND held IS NOT NULL OFFSET 0) AS k, pipeline_file_log AS l
WHERE l.file_id = {next}
  AND (a.next_file IS NULL OR a.next_at = l.as_of OR (a.is_last AND (a.next_has OR k.held @> a.number)))
  AND (k.held @> a.number OR NOT (k.refused @> a.number OR k.spares))

-- name: find_late
INSERT INTO {going}
SELECT {t_key}, CASE WHEN a.lacks THEN least(t._gone_at, {at}::timestamp) ELSE a.next_at END, t._gone_at IS NULL
FROM {asked} AS a JOIN {table} AS t ON {t_is_a}
WHERE a.is_last AND NOT (a.next_file IS NOT NULL AND a.next_has)

-- name: repeat_next
-- The next file that has what this one lacks told nothing new; now it does.
INSERT INTO {seen} ({columns}, seen_at)
SELECT {v_columns}, a.next_at
FROM {asked} AS a
JOIN pipeline_file_log AS n ON n.file_id = a.next_file
CROSS JOIN LATERAL (
    SELECT v.* FROM (SELECT {columns}, valid_from AS seen_at FROM {history} AS t WHERE {t_is_a}
                     UNION ALL SELECT {columns}, seen_at FROM {seen} AS t WHERE {t_is_a}) AS v
    CROSS JOIN LATERAL ({file_time}) AS f
    WHERE v._file_id <> {file_id} AND (f.as_of, f.modified_at, f.name, f.md5)
          < (n.as_of, n.modified_at, n.file_name COLLATE "C", n.file_hash COLLATE "C")
    ORDER BY f.as_of DESC, f.modified_at DESC, f.name DESC, f.md5 DESC LIMIT 1) AS v
WHERE a.next_has AND NOT a.is_last
  AND NOT EXISTS (SELECT FROM {history} AS t WHERE {t_is_a} AND t._file_id = a.next_file OFFSET 0)
ON CONFLICT DO NOTHING

-- name: end_late_versions
INSERT INTO {absent}
SELECT {key}, CASE WHEN lacks THEN {file_id} WHEN NOT next_has THEN next_file END,
       CASE WHEN lacks THEN {at}::timestamp WHEN NOT next_has THEN next_at END
FROM {asked} WHERE NOT is_last

-- name: count_alive
SELECT count(*) FROM {table} AS t WHERE t._gone_at IS NULL AND {is_real}

-- name: count_alive_then
-- At the time of the file, as others told of it; and how many of them it lacks.
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT FROM {held} AS h WHERE {h_is_t})) FROM {history} AS t
WHERE t.valid_from <= {at}::timestamp AND t.valid_to > {at}::timestamp AND t._file_id <> {file_id}

-- name: count_gone
SELECT count(*) FROM {going} WHERE was_there AND _gone_at IS NOT NULL

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
    RETURNING g._gone_at IS NOT NULL AND g.was_there AS is_gone)
SELECT count(*) FILTER (WHERE is_gone) FROM marked

-- name: removed_by
SELECT removed_records FROM pipeline_file_log WHERE file_id = {file_id}

-- name: take_back_deletes
DELETE FROM {deletes} WHERE _file_id = {file_id}

-- name: forget_held
DELETE FROM file_keys WHERE file_id = {file_id} AND held IS NOT NULL

-- name: bring_back_keys
INSERT INTO {keys} ({key}, {by})
SELECT {h_key}, h.{by} FROM (SELECT {key} FROM {affected} GROUP BY {key}) AS s
CROSS JOIN LATERAL (SELECT * FROM {history} AS h WHERE {h_is_s} AND h.valid_to = 'infinity' LIMIT 1) AS h
ON CONFLICT DO NOTHING

-- name: bring_back
-- As their versions began.
INSERT INTO {table} ({columns})
SELECT {columns} FROM (
    SELECT h.* FROM (SELECT {key} FROM {affected} GROUP BY {key}) AS s
    CROSS JOIN LATERAL (SELECT * FROM {history} AS h WHERE {h_is_s} AND h.valid_to = 'infinity' LIMIT 1) AS h) AS h
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {t_is_h} OFFSET 0)

-- name: gone_by_versions
-- As all that was seen of their keys says.
INSERT INTO {going}
SELECT {t_key}, s.gone_at, t._gone_at IS NULL
FROM (SELECT {key}, nullif(CASE WHEN bool_or(_life_end IS NULL) THEN max(greatest(valid_to, seen_at))
                                ELSE (array_agg(_life_end ORDER BY _life DESC))[1] END, 'infinity') AS gone_at
      FROM {timeline} GROUP BY {key}) AS s
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_s} AND {is_real} LIMIT 1) AS t
WHERE t._file_id <> {file_id}

-- name: add_to_last
-- To the books of the last file that is loaded of the table.
UPDATE pipeline_file_log SET gone_records = gone_records + {gone}, removed_records = removed_records + {removed}
WHERE file_id = (SELECT max(l.file_id) FROM pipeline_file_log AS l
                 WHERE l.source_table = {table_text} AND l.status = 'success' AND l.file_id <> {file_id})

-- name: ask_of_marked
INSERT INTO {asked}
SELECT {t_key}, {t_number}, false, true FROM {table} AS t, pipeline_file_log AS l,
     (SELECT held + '{{}}' AS held FROM file_keys WHERE file_id = {file_id} AND held IS NOT NULL OFFSET 0) AS k
WHERE l.file_id = {file_id} AND t._gone_at = l.as_of AND NOT k.held @> {t_number}

-- name: unmark
INSERT INTO {going} SELECT {key}, CASE WHEN NOT next_has THEN next_at END, false FROM {asked}

-- name: undelete
WITH deleted AS (DELETE FROM {deletes} AS d WHERE d._file_id = {file_id} RETURNING d.*)
UPDATE {table} AS t SET _gone_at = (SELECT min(d.gone_at) FROM {deletes} AS d WHERE {d_is_t} AND d._file_id <> {file_id}
                                    AND d.gone_at >= t._gone_at)
FROM deleted AS s WHERE {t_is_s} AND t._gone_at = s.gone_at

-- name: ask_of_missing
-- Of {wanted} keys those that are not in the table.
INSERT INTO {asked}
SELECT {w_numbers}, {w_number}, false, true FROM unnest({wanted}) AS w ({numbers})
WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {w_is_t} OFFSET 0)

-- name: taken_away
SELECT {h_value} FROM {asked} AS h WHERE NOT next_has

-- name: lacked_by
-- The first snapshot that lacks the key, of those after the last that has it.
WITH told AS (
    SELECT l.file_id, l.file_path, l.as_of, k.held + '{{}}' @> {number} AS has,
           k.refused + '{{}}' @> {number} OR k.unreadable > 0 AS is_open,
           row_number() OVER (ORDER BY l.as_of, l.modified_at, l.file_name COLLATE "C", l.file_hash COLLATE "C") AS place
    FROM (VALUES ({values})) AS t ({key})
    CROSS JOIN file_keys AS k JOIN pipeline_file_log AS l USING (file_id)
    WHERE l.source_table = {table_name} AND l.status = 'success' AND k.held IS NOT NULL
)
SELECT file_id, file_path, as_of FROM told
WHERE NOT has AND NOT is_open AND place > (SELECT max(place) FROM told WHERE has) ORDER BY place LIMIT 1

-- name: deleted_by
SELECT l.file_id, l.file_path, d.gone_at
FROM {deletes} AS d JOIN pipeline_file_log AS l ON l.file_id = d._file_id
WHERE {is_key} ORDER BY d.gone_at DESC, l.file_id DESC LIMIT 1
