-- Rows that change are counted as updated, unchanged or older, and one content may come again as another file: what
-- 0.1.0 held the file log to is no longer so. What it is held to now own_tables.py says.
ALTER TABLE pipeline_file_log
    DROP CONSTRAINT IF EXISTS pipeline_file_log_status,
    DROP CONSTRAINT IF EXISTS pipeline_file_log_parts,
    DROP CONSTRAINT IF EXISTS pipeline_file_log_valid,
    DROP CONSTRAINT IF EXISTS pipeline_file_log_counts,
    DROP CONSTRAINT IF EXISTS pipeline_file_log_content
