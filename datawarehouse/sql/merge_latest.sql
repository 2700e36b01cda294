-- Parts of sql/loader.sql where a newer row replaces the one that is there (merge/latest.py, by a column of times).

-- name: create_seen
-- Versions that the file has brought, and that are not in the table.
DROP TABLE IF EXISTS {seen};
CREATE TEMPORARY TABLE {seen} ({seen_columns}, version {newer_type}) ON COMMIT DROP;
CREATE INDEX ON {seen} ({seen_key}, version)

-- name: repeats
t._file_id = s._file_id AND t.{newer} IS NOT DISTINCT FROM s.{newer}

-- name: or_seen
OR EXISTS (SELECT FROM {seen} AS k WHERE {seen_is_s} AND k.version = coalesce(s.{newer}, '-infinity') OFFSET 0)

-- name: remember
-- Those that stay out of the table, and those that leave it.
, remembered AS (
    INSERT INTO {seen}
    SELECT {seen_key}, coalesce(version, '-infinity') FROM found WHERE NOT repeats AND NOT newer
    UNION ALL
    SELECT {seen_key}, coalesce(version_there, '-infinity') FROM found WHERE NOT repeats AND newer AND own)

-- name: newer
-- A known time is newer than an unknown one. Of two values at one time, that of the later file stands; and so does what
-- it says of a row that was gone.
(s.{newer} IS NOT NULL AND (t.{newer} IS NULL OR t.{newer} < s.{newer})
 OR {came_back}
 OR s.{newer} IS NOT DISTINCT FROM t.{newer} AND {is_later} AND {changed})

-- name: older
t.{newer} IS NOT NULL AND (s.{newer} IS NULL OR s.{newer} < t.{newer})

-- name: tells_nothing
-- Of what was there at that time, to history.
NOT ({changed}) AND ({is_later}) AND NOT {may_begin}

-- name: time
, s.{newer} AS version, t.{newer} AS version_there
