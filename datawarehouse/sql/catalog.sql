-- What PostgreSQL has of tables, keys and indexes (datawarehouse/schema/catalog.py).

-- name: constraints
-- Primary keys, unique keys, foreign keys, checks and exclusions: columns in the order of the key.
SELECT c.relname, k.conname, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n (number, at)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.number ORDER BY n.at),
       parent.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n (number, at)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number ORDER BY n.at),
       k.convalidated
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.connamespace = current_schema()::regnamespace AND k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0
ORDER BY 1, 2

-- name: indexes
-- Those that no constraint has made: columns ('' where it is an expression), method, predicate, and whether it holds.
-- One that is being made counts as made.
SELECT c.relname, i.relname, m.amname::text,
       ARRAY(SELECT coalesce((SELECT a.attname::text FROM pg_attribute a
                              WHERE a.attrelid = x.indrelid AND a.attnum = n.number AND n.number > 0), '')
             FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS n (number, at) ORDER BY n.at),
       x.indisunique, x.indpred IS NOT NULL,
       x.indisvalid OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_am m ON m.oid = i.relam
WHERE c.relnamespace = current_schema()::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
  AND NOT i.relispartition
ORDER BY 1, 2

-- name: sizes
-- How many rows the statistics know of; -1: nobody has counted yet.
SELECT c.relname, CASE WHEN c.relkind = 'p' THEN -1 ELSE c.reltuples::bigint END
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
