-- What files tell to be deleted (datawarehouse/merge/deletes.py). Words in braces are identifiers and expressions; what
-- is done to the rows is in gone.sql.

-- name: note
INSERT INTO {deletes} ({key}, gone_at, _file_id)
SELECT {numbers}, told.at::timestamp, told.file_id
FROM unnest({wanted}, {times}::text[], {file_ids}::bigint[]) AS told ({numbers}, at, file_id)
ON CONFLICT DO NOTHING

-- name: repeats
SELECT w.n FROM unnest({wanted}, {times}::text[], {file_ids}::bigint[], {is_delete}::boolean[])
                WITH ORDINALITY AS w ({numbers}, at, file_id, deletes, n)
WHERE EXISTS (SELECT FROM {deletes} AS t
              WHERE {w_is_t} AND t._file_id = w.file_id AND t.gone_at = w.at::timestamp OFFSET 0)
   OR w.deletes AND (EXISTS (SELECT FROM {table} AS t WHERE {w_is_t} AND t._file_id = w.file_id
                             AND {row_time} = w.at::timestamp OFFSET 0)
                     OR {told_before})

-- name: told_before
-- What the file has brought, and the table does not show.
EXISTS (SELECT FROM {told} AS t WHERE ({t_numbers}) = ({w_numbers}) AND {told_time} = w.at::timestamp OFFSET 0)

-- name: concerned
-- Keys of rows that files brought, or told to delete; and what deletes them.
FROM (SELECT {key} FROM {deletes} WHERE _file_id = ANY ({file_ids})
      UNION SELECT {t_key} FROM {table} AS t WHERE t._file_id = ANY ({file_ids})
          AND (t._gone_at IS NOT NULL OR EXISTS (SELECT FROM {deletes} AS d WHERE {d_is_t} OFFSET 0))) AS s
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {t_is_s} AND {is_real} LIMIT 1) AS t
CROSS JOIN LATERAL ({t_file_time}) AS tf
CROSS JOIN LATERAL (
    SELECT {what} FROM {deletes} AS d CROSS JOIN LATERAL ({d_file_time}) AS df
    WHERE {d_is_s} AND (d.gone_at, df.as_of, df.modified_at, df.name, df.md5)
                       > ({row_time}, tf.as_of, tf.modified_at, tf.name, tf.md5)) AS d

-- name: deleting_files
SELECT DISTINCT d._file_id {concerned}

-- name: find
-- Is a word later that deletes them? Of two at one time that of the later file stands.
INSERT INTO {going}
SELECT {t_key}, d.gone_at, t._gone_at IS NULL {concerned}
WHERE t._gone_at IS DISTINCT FROM d.gone_at

-- name: outlived
-- A file later than the one that deletes the row has told it again, as it was.
EXISTS (SELECT FROM ({later_traces}) AS f WHERE f.earlier = d._file_id AND {is_of_its_time} AND {is_among} OFFSET 0)

-- name: told_to_delete
-- As if it were rows.
SELECT {told} FROM {deletes} AS d WHERE _file_id = ANY ({file_ids})

-- name: versions
-- Keys whose versions are made anew.
INSERT INTO {absent}
SELECT {key}, NULL::bigint, NULL::timestamp FROM {deletes} WHERE _file_id = ANY ({file_ids})
UNION SELECT {b_key}, NULL::bigint, NULL::timestamp FROM {history} AS b
WHERE b._file_id = ANY ({file_ids}) AND EXISTS (SELECT FROM {deletes} AS d WHERE {d_is_b} OFFSET 0)

-- name: taken_away
-- Of {wanted} keys those that are not in the table, and that some file told to delete.
SELECT {h_value} FROM (
    SELECT h.* FROM unnest({wanted}) AS w ({numbers}) CROSS JOIN LATERAL (SELECT * FROM {deletes} AS t WHERE {w_is_t} LIMIT 1) AS h
    WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE {w_is_t} OFFSET 0)) AS h
