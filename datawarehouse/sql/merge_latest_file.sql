-- Parts of sql/loader.sql where the row of the later file replaces the one that is there (merge/latest.py, without a
-- column of times).

-- name: create_seen
-- Keys of the file that a later file had brought, or an earlier one just so.
DROP TABLE IF EXISTS {seen};
CREATE TEMPORARY TABLE {seen} ({seen_columns}) ON COMMIT DROP;
CREATE INDEX ON {seen} ({seen_key})

-- name: repeats
t._file_id = s._file_id

-- name: or_seen
OR EXISTS (SELECT FROM {seen} AS k WHERE {seen_is_s} OFFSET 0)

-- name: remember
, remembered AS (INSERT INTO {seen} SELECT {seen_key} FROM found WHERE NOT repeats)

-- name: newer
({is_later} AND {changed} OR {came_back})

-- name: older
(NOT ({is_later}) AND {changed})

-- name: tells_nothing
-- Of what was there at that time, to history.
NOT ({changed}) AND ({is_later}) AND NOT {may_begin}

-- name: time

