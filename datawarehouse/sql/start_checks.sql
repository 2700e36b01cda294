-- name: newest_file
SELECT max(processed_at) FROM pipeline_file_log

-- name: pii_key
SELECT (SELECT value FROM pipeline_meta WHERE key = 'pii_key_id'),
       EXISTS (SELECT FROM pipeline_file_log WHERE status = 'success')

-- name: remember_pii_key
INSERT INTO pipeline_meta (key, value) VALUES ('pii_key_id', %(key_id)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
