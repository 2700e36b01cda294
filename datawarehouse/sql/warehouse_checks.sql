-- Checks of the warehouse after a load.

-- name: read_only
SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = %(milliseconds)s

-- name: count
SELECT count(*) FROM (SELECT FROM (
{select}
) AS found LIMIT {most}) AS counted
