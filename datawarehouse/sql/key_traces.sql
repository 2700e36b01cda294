-- Which keys a file told again, as they were (datawarehouse/key_traces.py). Words in braces are identifiers and
-- expressions. Numbers are bounds of ranges, in their order: a number is in one of them if it is at or after an odd
-- count of bounds, which width_bucket() finds by halving. || reads an array that is stored apart once, not at each row.

-- name: note
INSERT INTO file_keys (file_id, unchanged) VALUES (%(file_id)s, %(bounds)s::bigint[])

-- name: forget
DELETE FROM file_keys WHERE file_id = %(file_id)s

-- name: of_number
SELECT ctid::text, unchanged FROM file_keys
WHERE file_id = %(file_id)s AND mod(width_bucket(%(number)s::bigint, unchanged), 2) = 1
FOR UPDATE

-- name: set_bounds
UPDATE file_keys SET unchanged = nullif(%(bounds)s::bigint[], '{}') WHERE ctid = %(place)s::tid

-- name: forget_table
DELETE FROM file_keys f USING pipeline_file_log l WHERE l.file_id = f.file_id AND l.source_table = %(table)s

-- name: later_traces
-- What files told again that are later than one that is told of.
SELECT a.earlier, f.file_id AS _file_id, f.unchanged || '{{}}'::bigint[] AS bounds
FROM unnest({earlier}::bigint[], {later}::bigint[]) AS a (earlier, later)
JOIN file_keys AS f ON f.file_id = a.later AND f.unchanged IS NOT NULL OFFSET 0

-- name: mark_told_again
-- Staged rows of which a later file has said: still as it was.
UPDATE {stage} AS m SET {told_again} = true
WHERE m.ctid = ANY (ARRAY(
    SELECT s.ctid FROM ({later_traces}) AS f
    CROSS JOIN LATERAL (SELECT s.ctid FROM {stage} AS s
                        WHERE s._file_id = f.earlier AND {is_among} OFFSET 0) AS s))

-- name: rows_staged
SELECT s.* FROM {stage} AS s WHERE s.{told_again}

-- name: rows_withdrawn
SELECT {h_columns} FROM {affected} AS a
CROSS JOIN LATERAL (SELECT {columns} FROM {history} AS h WHERE {h_is_a} AND h._file_id = {file_id}
                    UNION ALL
                    SELECT {columns} FROM {seen} AS h WHERE {h_is_a} AND h._file_id = {file_id} OFFSET 0) AS h

-- name: spell_out
-- What later files told again of the keys of `told`, as if each had told something new: the last that files before it
-- had said. So the versions can be made anew, whatever comes between the two.
WITH told AS ({told}), again AS (
    SELECT DISTINCT {s_key}, {told_at} AS told_at, f._file_id FROM ({later_traces}) AS f
    CROSS JOIN LATERAL (SELECT s.* FROM told AS s
                        WHERE s._file_id = f.earlier AND {is_among} OFFSET 0) AS s
)
INSERT INTO {seen} ({columns}, seen_at)
SELECT {former_columns}, w.is_at
FROM again AS n
CROSS JOIN LATERAL ({time_of_n}) AS o
CROSS JOIN LATERAL (
    SELECT a.*, {seen_at} AS is_at
    FROM (SELECT {h_columns}, h.valid_from AS seen_at FROM {history} AS h WHERE {h_is_n}
          UNION ALL
          SELECT {h_columns}, h.seen_at FROM {seen} AS h WHERE {h_is_n} OFFSET 0) AS a
    CROSS JOIN LATERAL ({time_of_a}) AS f
    WHERE (f.as_of, f.modified_at, f.name, f.md5) < (o.as_of, o.modified_at, o.name, o.md5) AND {is_of_its_time}
    ORDER BY a.seen_at DESC, f.as_of DESC, f.modified_at DESC, f.name DESC, f.md5 DESC LIMIT 1
) AS w
WHERE NOT EXISTS (SELECT FROM {history} AS h WHERE {h_is_n} AND h._file_id = n._file_id AND h.valid_from = w.is_at)
ON CONFLICT DO NOTHING
