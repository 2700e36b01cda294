-- What a file brought that was loaded before it was whole is corrected, in the transaction that loads the whole one.
-- Words in braces are identifiers.

-- name: earlier
SELECT file_id, updated_records FROM pipeline_file_log
WHERE logical_name = %(logical_name)s AND file_hash = %(md5)s AND file_size = %(size)s AND file_path = %(path)s
  AND status = 'success'

-- name: may
-- A role that does nothing but load may not delete.
SELECT has_table_privilege(%(table)s, 'DELETE') AND has_table_privilege('quarantine_history', 'INSERT')
   AND has_column_privilege('pipeline_file_log', 'total_records', 'UPDATE')

-- name: may_undo
SELECT bool_and(has_table_privilege(name, 'DELETE')) AND has_table_privilege('pipeline_file_log', 'UPDATE')
FROM unnest(ARRAY[%(table)s, 'quarantine', 'quarantine_history', 'true_orphan', 'orphan_wait', 'file_warning',
                  'warned_row']) AS name

-- name: refused
SELECT quarantine_id, resolution FROM quarantine WHERE file_id = %(file_id)s AND row_number = %(number)s

-- name: is_of_file
SELECT EXISTS (SELECT FROM {table} AS t WHERE {is_key} AND _file_id = %(file_id)s)

-- name: is_there
SELECT EXISTS (SELECT FROM {table} AS t WHERE {is_key} AND _file_id <> %(file_id)s)

-- name: depends
SELECT EXISTS (SELECT FROM {table} AS t JOIN {child} AS c ON {refers}
               WHERE {is_key} AND (c.tableoid, c.ctid) <> (t.tableoid, t.ctid))

-- name: take_back_row
DELETE FROM {table} AS t WHERE {is_key} AND _file_id = %(file_id)s

-- name: take_back_key
DELETE FROM {keys} AS t WHERE {is_key}

-- name: make_older
-- Whatever the whole file has is newer.
UPDATE {table} AS t SET {newer} = '-infinity' WHERE {is_key} AND _file_id = %(file_id)s

-- name: make_earlier
-- Of files of one table whose rows have no times the whole one is the later: be it that it was given an older time.
UPDATE pipeline_file_log
SET as_of = least(as_of, %(as_of)s), modified_at = least(modified_at, %(modified_at)s - interval '1 microsecond')
WHERE file_id = %(file_id)s AND (as_of, modified_at) >= (%(as_of)s, %(modified_at)s)

-- name: withdrawn
-- A record that is in the table no more, or not as this file had it: it was stale, or an update, or inserted.
UPDATE pipeline_file_log
SET total_records = total_records - 1, valid_records = valid_records - 1,
    already_present = already_present - is_stale, stale_records = stale_records - is_stale,
    updated_records = updated_records - is_update, inserted_records = inserted_records - 1 + is_stale + is_update
FROM (SELECT file_id AS id, stale::int AS is_stale, (NOT stale AND updated_records > 0)::int AS is_update
      FROM (SELECT file_id, updated_records, stale_records > 0 AND NOT %(was_in_force)s AS stale
            FROM pipeline_file_log WHERE file_id = %(file_id)s) f) AS was
WHERE file_id = was.id

-- name: taken_back
UPDATE pipeline_file_log
SET total_records = total_records - 1, valid_records = valid_records - 1, inserted_records = inserted_records - 1
WHERE file_id = %(file_id)s
