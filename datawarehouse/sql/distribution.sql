-- From a schema on one server to one that Citus distributes. Words in braces are identifiers and literals that
-- scripts/distribute.py puts in.

-- name: head
-- Run this on the coordinator, as the owner of the tables, while the service is stopped, after
-- CREATE EXTENSION citus; SELECT citus_set_coordinator_host('…'); and citus_add_node(…) for each worker.
-- From then on the configuration says database.distributed: true. Bookkeeping stays on the coordinator.
-- Written against Citus's documentation, never run on Citus.
BEGIN

-- name: sequential
-- Changes of reference tables and of what refers to them, in one transaction, go over one connection a server.
SET LOCAL citus.multi_shard_modify_mode TO 'sequential'

-- name: drop_foreign_key
ALTER TABLE {child} DROP CONSTRAINT IF EXISTS {constraint}

-- name: drop_primary_key
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}

-- name: add_primary_key
ALTER TABLE {table} ADD CONSTRAINT {constraint} PRIMARY KEY ({surrogate}, {key})

-- name: reference_table
SELECT create_reference_table({table_text})

-- name: distributed_table
SELECT create_distributed_table({table_text}, {key_text}, colocate_with => 'none')

-- name: add_foreign_key
ALTER TABLE {child} ADD CONSTRAINT {constraint} FOREIGN KEY ({column}) REFERENCES {parent} ({parent_key})
