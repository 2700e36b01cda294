-- name: behind
-- The identity columns of these tables that give numbers of their own, and may be asked for more.
SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence(quote_ident(c.relname), a.attname)::regclass), 0) AS last
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attidentity <> '' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND pg_table_is_visible(c.oid)
  AND (c.relname = ANY (%(tables)s) OR c.relname LIKE 'fact\_%%')
  AND has_sequence_privilege(pg_get_serial_sequence(quote_ident(c.relname), a.attname), 'USAGE')

-- name: highest
SELECT coalesce(max({column}), 0) FROM {table}

-- name: draw
SELECT count(nextval(%(sequence)s::regclass)) FROM generate_series(1, %(numbers)s)
