-- Parts of sql/loader.sql where the first row of a key stays (merge/first.py).

-- name: create_seen
-- Keys of the file that an earlier file had brought.
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
false

-- name: older
false

-- name: tells_nothing
true

-- name: time

