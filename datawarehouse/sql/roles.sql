-- The roles: {owner} makes and owns the tables, {loader} loads and can't change their form, {reader} reads for reports.
-- Run by scripts/create_roles.py as an administrator; may be run again. What {loader} and {reader} get on each table is
-- listed in datawarehouse/rights.py; they get nothing on other schemas. Words in braces are identifiers.

-- name: exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)

-- name: create
CREATE ROLE {role}

-- name: login
-- The password comes as a SCRAM verifier: in clear it could be read in the server's log.
ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %(verifier)s

-- name: base
-- Until PostgreSQL 14 everybody may make tables in the schema public.
REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;
REVOKE ALL ON DATABASE {database} FROM {loader};
REVOKE ALL ON SCHEMA {schema} FROM {loader};
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {owner}, {loader};
GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner};
GRANT USAGE ON SCHEMA {schema} TO {loader}

-- name: foreign_owned
-- What an earlier start under another role has made: it changes hands.
SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_class root ON root.oid = i.inhparent
WHERE coalesce(root.relname, c.relname) = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'v')
  AND c.relnamespace = current_schema()::regnamespace
  AND c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)
UNION ALL
SELECT p.proname, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END
FROM pg_proc p
WHERE (p.proname = 'promote_true_orphans' OR p.proname = ANY (%(names)s) AND p.prorettype = 'trigger'::regtype) AND p.pronamespace = current_schema()::regnamespace
  AND p.proowner <> (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)

-- name: withdraw
-- Rights that a table had in an earlier form of the configuration go first.
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {loader};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {loader}

-- name: extras
GRANT USAGE ON SEQUENCE pipeline_file_log_file_id_seq TO {loader};
REVOKE EXECUTE ON PROCEDURE promote_true_orphans FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE promote_true_orphans TO {loader}

-- name: view
GRANT SELECT ON {view} TO {role}

-- name: reader
REVOKE ALL ON DATABASE {database} FROM {reader};
REVOKE ALL ON SCHEMA {schema} FROM {reader};
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {reader};
GRANT CONNECT ON DATABASE {database} TO {reader};
GRANT USAGE ON SCHEMA {schema} TO {reader};
GRANT SELECT ON {tables} TO {reader}

-- name: triggers
-- From PostgreSQL 15: a load has proved and locked every parent, and may leave out the foreign keys' triggers.
GRANT SET ON PARAMETER session_replication_role TO {loader}
