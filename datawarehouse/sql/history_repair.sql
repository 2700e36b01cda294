-- Versions made anew where repairs take back or mask what was seen (datawarehouse/history_repair.py). Words in braces are
-- identifiers and expressions.

-- name: tables
SELECT c.relname, array_agg(a.attname::text)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p')
GROUP BY 1
HAVING bool_or(a.attname IN ('version_id', 'seen_at'))

-- name: columns
-- What a version holds of its row.
SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attname <> ALL (ARRAY['version_id', 'valid_from', 'valid_to', 'is_current', '_ended_by'])
ORDER BY a.attnum

-- name: create
CREATE TEMPORARY TABLE IF NOT EXISTS {affected} ON COMMIT DROP AS SELECT {key} FROM {history} WITH NO DATA;
CREATE TEMPORARY TABLE IF NOT EXISTS {former} ON COMMIT DROP AS
SELECT {columns}, valid_to AS ended_at FROM {history} WITH NO DATA;
TRUNCATE {affected}, {former}

-- name: keys_of_file
-- The keys of which the file has said something, be it that they are gone.
INSERT INTO {affected}
SELECT {key} FROM {history} WHERE _file_id = {file_id} OR _ended_by = {file_id}
UNION SELECT {key} FROM {seen} WHERE _file_id = {file_id}

-- name: keys_of_its_time
-- What another file told, and was never in force, as this one lacks it.
INSERT INTO {affected}
SELECT {key} FROM {seen} WHERE seen_at = (SELECT as_of FROM pipeline_file_log WHERE file_id = {file_id})

-- name: keys_of_lives
-- What was never in force, maybe by this file, where that is not told by its time; and what counts from its file on, as
-- this one or another lacks it before.
INSERT INTO {affected}
SELECT {key} FROM {seen} AS h WHERE NOT EXISTS (SELECT FROM {history} AS k WHERE {k_is_h} AND k.valid_to = 'infinity' OFFSET 0)
UNION SELECT {key} FROM {history} AS h WHERE h.valid_from <> {own_time}

-- name: one_key
INSERT INTO {affected} VALUES ({values})

-- name: keys_in_table
INSERT INTO {affected} SELECT {key} FROM {table} AS t WHERE t._file_id = {file_id}

-- name: has_said
SELECT EXISTS (SELECT FROM {history} AS t WHERE {is_key} AND t._file_id = {file_id})
    OR EXISTS (SELECT FROM {seen} AS t WHERE {is_key} AND t._file_id = {file_id})

-- name: keys_of
INSERT INTO {affected}
SELECT {key} FROM {history} AS t WHERE {condition} UNION SELECT {key} FROM {seen} AS t WHERE {condition}

-- name: lock
SELECT FROM (SELECT {key} FROM {affected} ORDER BY {key}) AS a
CROSS JOIN LATERAL (SELECT FROM {keys} AS k WHERE {k_is_a} LIMIT 1 FOR NO KEY UPDATE) AS k

-- name: withdraw
DELETE FROM {history} AS h USING {affected} AS a WHERE {h_is_a} AND h._file_id = {file_id};
DELETE FROM {seen} AS h USING {affected} AS a WHERE {h_is_a} AND h._file_id = {file_id};
UPDATE {history} AS h SET _ended_by = NULL FROM {affected} AS a WHERE {h_is_a} AND h._ended_by = {file_id}

-- name: find_former
-- The newest that is left of each key, unless it is told to be gone since: or at once, and it is in no version.
INSERT INTO {former}
SELECT DISTINCT ON ({a_key}) {a_columns},
       coalesce(a._life_end, greatest((SELECT max(v.valid_to) FROM {timeline} AS v WHERE v._is_version AND {v_is_a}), a.seen_at))
FROM {timeline} AS a CROSS JOIN LATERAL ({file_time}) AS f
ORDER BY {a_key}, a._life DESC, a.seen_at DESC, f.as_of DESC, f.modified_at DESC, f.name DESC, f.md5 DESC;
DELETE FROM {former} WHERE (ended_at < 'infinity' AND {stays_gone}) OR _file_id = {file_id}

-- name: move_keys
-- A row that goes to another partition; it follows its key, or goes there with its values.
UPDATE {keys} AS k SET {by} = n.{by} FROM {former} AS n, {table} AS t
WHERE {k_is_n} AND {t_is_n} AND (t._file_id = {file_id} OR {differs}) AND k.{by} <> n.{by}

-- name: restore
-- Rows of the file, and those of which it had told again what an earlier file has in the table.
WITH restored AS (
    UPDATE {table} AS t SET {assignments}{gone_at}, _loaded_at = now() FROM {former} AS n
    WHERE {t_is_n} AND (t._file_id = {file_id} OR {differs})
    RETURNING n._file_id
)
SELECT _file_id, count(*) FROM restored GROUP BY 1
