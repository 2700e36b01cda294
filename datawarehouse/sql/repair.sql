-- What operators do to quarantined rows and to files; each command is one transaction.

-- name: lock_of_file
SELECT quarantine_id FROM quarantine WHERE file_id = %(file_id)s ORDER BY quarantine_id FOR UPDATE

-- name: rows_of_file
-- Row numbers of the file that have been refused, with what became of them, and whether they were edited.
SELECT q.row_number, q.quarantine_id, q.resolution,
       EXISTS (SELECT FROM quarantine_history h WHERE h.quarantine_id = q.quarantine_id AND h.action = 'edit')
FROM quarantine q
WHERE q.file_id = %(file_id)s

-- name: raw_of
SELECT quarantine_id, row_number, raw_data FROM quarantine WHERE quarantine_id = ANY (%(ids)s) ORDER BY quarantine_id

-- name: same_day
-- The rows of a file in quarantine are of one day, that of their backup: those that come back join the others.
UPDATE quarantine q SET quarantined_at = o.at
FROM (SELECT min(quarantined_at) AS at FROM quarantine WHERE file_id = %(file_id)s) o
WHERE q.file_id = %(file_id)s AND q.quarantined_at <> o.at

-- name: set_raw
UPDATE quarantine SET raw_data = %(raw)s WHERE quarantine_id = %(id)s

-- name: set_raw_true_orphan
UPDATE true_orphan SET raw_data = %(raw)s WHERE quarantine_id = %(id)s

-- name: dependants
-- Rows of {child} that refer to rows of {table} which the file brought. Words in braces are identifiers.
SELECT count(*), (array_agg(DISTINCT {key}::text))[1:5], (array_agg(DISTINCT c._file_id))[1:5]
FROM {child} c
JOIN {table} t ON {refers}
WHERE t._file_id = %(file_id)s AND (c._file_id <> t._file_id OR {child_text} <> {table_text})

-- name: keys_of_rows
SELECT (array_agg({key}::text ORDER BY {key}))[1:5], count(*) FROM {table} t WHERE t._file_id = %(file_id)s

-- name: children_of_file
-- The loaded files of the same content whose types are `children` of the file's.
SELECT c.file_id
FROM pipeline_file_log p
JOIN unnest(%(parents)s::text[], %(children)s::text[]) AS types (parent, child) ON types.parent = p.logical_name
JOIN pipeline_file_log c
    ON (c.logical_name, c.file_hash, c.file_size, c.as_of) = (types.child, p.file_hash, p.file_size, p.as_of)
WHERE p.file_id = %(file_id)s AND c.status = 'success'
ORDER BY c.file_id DESC

-- name: take_back_rows
DELETE FROM {table} WHERE _file_id = %(file_id)s

-- name: take_back_waits
DELETE FROM orphan_wait WHERE file_id = %(file_id)s

-- name: take_back_true_orphans
DELETE FROM true_orphan t USING quarantine q WHERE q.file_id = %(file_id)s AND t.quarantine_id = q.quarantine_id

-- name: take_back_history
DELETE FROM quarantine_history h USING quarantine q
WHERE q.file_id = %(file_id)s AND h.quarantine_id = q.quarantine_id

-- name: refused_at
SELECT max(quarantined_at) FROM quarantine WHERE file_id = %(file_id)s

-- name: take_back_quarantine
DELETE FROM quarantine WHERE file_id = %(file_id)s

-- name: updating_files
-- The latest files that made rows of the table their own.
SELECT file_id FROM pipeline_file_log WHERE source_table = %(table)s AND updated_records > 0
ORDER BY file_id DESC LIMIT 5

-- name: later_files
-- Files that counted rows of the table as already there, and came after the file.
SELECT count(*) FROM pipeline_file_log
WHERE source_table = %(table)s AND file_id > %(file_id)s AND already_present > 0

-- name: share_erasures
-- No person is erased while a file that may name it is loaded; shared among loads.
SELECT pg_advisory_xact_lock_shared(hashtext('fastfeast erasure'))

-- name: erasures
SELECT source_table, key FROM erased WHERE source_table = ANY (%(tables)s)

-- name: lock_erasures
SELECT pg_advisory_xact_lock(hashtext('fastfeast erasure'))

-- name: erase_person
INSERT INTO erased (source_table, key, erased_by) VALUES (%(table)s, %(key)s, %(who)s)
ON CONFLICT (source_table, key) DO NOTHING

-- name: naming
-- Refused rows of a table that may name the person: the key's letters and digits are in one of the columns, whatever
-- is written between them; or, where one key may be written in other digits, there is anything.
SELECT q.quarantine_id, q.file_id, q.raw_data
FROM quarantine q
WHERE q.source_table = %(table)s
  AND EXISTS (SELECT FROM unnest(%(columns)s::text[]) AS c (name)
              WHERE position(lower(regexp_replace(%(key)s, '\W|_', '', 'g'))
                             IN lower(regexp_replace(q.raw_data ->> c.name, '\W|_', '', 'g'))) > 0)
ORDER BY q.quarantine_id
FOR UPDATE

-- name: blank_history
UPDATE quarantine_history SET changes = changes - %(columns)s::text[]
WHERE quarantine_id = ANY (%(ids)s) AND changes ?| %(columns)s::text[]

-- name: blank_rows
UPDATE {table} SET {assignments} WHERE {is_named}
