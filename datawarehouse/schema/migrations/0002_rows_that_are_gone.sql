-- The sum of the valid records has the deletes too: pipeline_file_log_good.
ALTER TABLE pipeline_file_log DROP CONSTRAINT IF EXISTS pipeline_file_log_valid;
