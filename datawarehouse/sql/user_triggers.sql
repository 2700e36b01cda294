-- What users have put on the tables that are loaded. Words in braces are literals that user_triggers.py puts in.

-- name: on_tables
-- Their triggers on INSERT or UPDATE, and constraints that PostgreSQL holds by triggers: those that can be deferred, and
-- foreign keys of columns that the pipeline does not know. On the tables themselves and on their partitions.
SELECT t.tgrelid AS relation, t.tgname AS name, 'trigger' AS what
FROM pg_trigger t
WHERE t.tgrelid = ANY (ARRAY({relations}))
  AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' AND t.tgtype & {events} <> 0
UNION ALL
SELECT k.conrelid, k.conname, 'constraint'
FROM pg_constraint k
WHERE k.conrelid = ANY (ARRAY({relations})) AND k.conparentid = 0
  AND CASE k.contype
          WHEN 'f' THEN EXISTS (SELECT FROM pg_attribute a
                                WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
                                  AND a.attname <> ALL ({columns}))
          ELSE k.contype IN ('u', 'p', 'x') AND k.condeferrable END

-- name: relations
SELECT c.oid FROM pg_class c
WHERE c.relname = ANY ({tables}) AND c.relnamespace = current_schema()::regnamespace
UNION ALL
SELECT i.inhrelid FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhparent
WHERE c.relname = ANY ({tables}) AND c.relnamespace = current_schema()::regnamespace

-- name: rules
-- COPY passes them by, and ON CONFLICT does not go with them.
SELECT r.rulename
FROM pg_rewrite r
WHERE r.ev_class = ANY (ARRAY({relations})) AND r.ev_type IN ('2', '3') AND r.ev_enabled <> 'D'
ORDER BY 1
