-- name: add_counts
INSERT INTO file_warning AS w (file_id, check_name, column_name, rows, says)
VALUES %s
ON CONFLICT (file_id, check_name, column_name) DO UPDATE SET rows = w.rows + excluded.rows, says = excluded.says

-- name: list_rows
INSERT INTO warned_row (file_id, row_number, check_name, column_name)
VALUES %s
ON CONFLICT DO NOTHING

-- name: recounted
UPDATE pipeline_file_log SET warned_records = %(warned)s WHERE file_id = %(file_id)s

-- name: forget
WITH rows AS (
    DELETE FROM warned_row WHERE file_id = ANY (%(file_ids)s)
)
DELETE FROM file_warning WHERE file_id = ANY (%(file_ids)s)
