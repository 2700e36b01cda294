-- Rows for a rule that is tried on them.

-- name: loaded
SELECT {columns} FROM {table} WHERE {condition}

-- name: refused
SELECT raw_data FROM quarantine WHERE source_table = %(table)s AND resolution IS NULL ORDER BY quarantine_id

-- name: is_unique
SELECT count({column}) >= %(least)s AND count({column}) = count(DISTINCT {column}) FROM {table}
