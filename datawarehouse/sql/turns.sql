-- Who moves parents and who loads rows that hold something of them take turns: see datawarehouse/turns.py.

-- name: take
SELECT pg_advisory_xact_lock(hashtext('fastfeast moves'), hashtext(%(table)s))

-- name: share
SELECT pg_advisory_xact_lock_shared(hashtext('fastfeast moves'), hashtext(name)) FROM unnest(%(tables)s::text[]) AS name

-- name: count
INSERT INTO pipeline_meta (key, value) VALUES (%(key)s, '1')
ON CONFLICT (key) DO UPDATE SET value = (pipeline_meta.value::bigint + 1)::text

-- name: read
SELECT key, value FROM pipeline_meta WHERE key = ANY (%(keys)s)

-- name: has_index
-- Does a B-tree of the table begin with the column?
SELECT EXISTS (SELECT FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
               JOIN pg_class c ON c.oid = i.indexrelid
               JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
               WHERE i.indrelid = to_regclass(%(table)s) AND a.attname = %(column)s AND i.indpred IS NULL)
