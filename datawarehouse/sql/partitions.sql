-- Partitions of facts. Words in braces are identifiers and literals that datawarehouse/schema/partitions.py puts in.

-- name: prepare
-- A row of {table} can't be without its key; and whoever deletes a row deletes its key, which fails while a child refers
-- to it. A row that moves to another partition has its new time in its key already, and leaves it there.
CREATE TABLE {default} PARTITION OF {table} DEFAULT;
CREATE OR REPLACE FUNCTION {gone}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {keys} WHERE {is_old} AND {by} = OLD.{by};
    RETURN NULL;
END $$;
CREATE TRIGGER {gone} AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {gone}()

-- name: how
-- How tables are partitioned, as in RANGE (created_at); null: they are not. No row: there is no such table.
SELECT c.relname, CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END
FROM pg_class c
WHERE c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace

-- name: bounds
-- Of each partition its bounds as PostgreSQL writes them.
SELECT pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class root ON root.oid = i.inhparent
WHERE root.relname = %(table)s AND root.relnamespace = current_schema()::regnamespace

-- name: waiting
-- The days of rows in the default partition.
SELECT DISTINCT {by}::date FROM {default} WHERE {by} < {horizon}

-- name: lock
-- Who writes to the fact is waited for; then nobody is in the middle of that. A load that has read the default
-- partition, and waits here to write, would be a deadlock: so the second lock is had at once or not at all.
SET LOCAL lock_timeout = '{timeout}';
LOCK TABLE {keys} IN SHARE ROW EXCLUSIVE MODE;
SET LOCAL lock_timeout = '{short}';
LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE

-- name: add
CREATE TABLE {partition} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED);
ALTER TABLE {default} DISABLE TRIGGER {gone}

-- name: move
-- What waits in the default partition moves, and keeps its keys: there the trigger is off for this transaction.
WITH moved AS (DELETE FROM {default} WHERE {by} >= {first} AND {by} < {end} RETURNING *)
INSERT INTO {partition} ({columns}) SELECT {columns} FROM moved

-- name: columns
-- All that a row can be given: what is generated is not.
SELECT a.attname FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relname = %(table)s AND c.relnamespace = current_schema()::regnamespace
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum

-- name: attach
-- ATTACH holds up readers less than CREATE TABLE … PARTITION OF.
ALTER TABLE {default} ENABLE TRIGGER {gone};
ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({end})

-- name: make
CREATE TABLE {partition} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({end})

-- name: children
-- The foreign keys to a table.
SELECT child.relname, k.conname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS c (number, at)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY c.at)
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid
JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND parent.relname = %(table)s
  AND parent.relnamespace = current_schema()::regnamespace AND k.conparentid = 0
ORDER BY 1, 2

-- name: earliest
SELECT min({by})::date FROM {table}

-- name: set_aside_schema
CREATE SCHEMA before_partitions

-- name: drop_foreign_key
ALTER TABLE {child} DROP CONSTRAINT {constraint}

-- name: set_aside
ALTER TABLE {table} SET SCHEMA before_partitions

-- name: copy_keys
INSERT INTO {keys} ({key}, {by}) SELECT {key}, {by} FROM before_partitions.{table}

-- name: copy_rows
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM before_partitions.{table}

-- name: go_on_counting
SELECT setval(pg_get_serial_sequence(quote_ident({table_text}), {surrogate_text}), max({surrogate}))
FROM {table}
HAVING max({surrogate}) IS NOT NULL

-- name: add_foreign_key
ALTER TABLE {child} ADD CONSTRAINT {constraint} FOREIGN KEY ({child_columns}) REFERENCES {keys} ({key})
