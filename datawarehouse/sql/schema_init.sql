-- name: lock
-- Two daemons starting at once make the tables one after the other.
SELECT pg_advisory_xact_lock(hashtext('fastfeast schema_init'))

-- name: columns
-- `fills_itself`: a row that says nothing of the column can be inserted. A domain may bring its own NOT NULL and default.
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL OR NOT (a.attnotnull OR t.typnotnull)
           AS fills_itself
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = current_schema()::regnamespace
  AND c.relkind IN ('r', 'p')
  AND a.attnum > 0
  AND NOT a.attisdropped

-- name: checks
SELECT c.relname, k.conname
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype IN ('c', 'u') AND k.connamespace = current_schema()::regnamespace

-- name: grow_dates
-- Whole years, so that the calendar has no holes within them. New days have the weekend of those that are there.
INSERT INTO dim_date (date_key, full_date, year, quarter, month, month_name, week, day, day_of_week, day_name,
                      is_weekend)
SELECT to_char(d, 'YYYYMMDD')::integer, d::date, extract(year FROM d), extract(quarter FROM d),
       extract(month FROM d), trim(to_char(d, 'Month')), extract(week FROM d), extract(day FROM d),
       extract(isodow FROM d), trim(to_char(d, 'Day')),
       extract(isodow FROM d)::integer = ANY (CASE WHEN EXISTS (SELECT FROM dim_date) THEN w.known ELSE %(weekend)s END)
FROM generate_series(make_date(%(first)s, 1, 1)::timestamp, make_date(%(last)s, 12, 31)::timestamp,
                     interval '1 day') AS d,
     (SELECT coalesce(array_agg(DISTINCT day_of_week::integer), '{}') AS known FROM dim_date WHERE is_weekend) AS w
ON CONFLICT DO NOTHING

-- name: other_weekend
SELECT EXISTS (SELECT FROM dim_date WHERE is_weekend <> (day_of_week::integer = ANY (%(weekend)s::integer[])))

-- name: set_weekend
UPDATE dim_date SET is_weekend = NOT is_weekend WHERE is_weekend <> (day_of_week::integer = ANY (%(weekend)s::integer[]))

-- name: fill_times
INSERT INTO dim_time (time_key, hour, minute, period)
SELECT h * 100 + m, h, m,
       CASE WHEN h < 6 THEN 'night' WHEN h < 12 THEN 'morning' WHEN h < 18 THEN 'afternoon' ELSE 'evening' END
FROM generate_series(0, 23) AS h, generate_series(0, 59) AS m
WHERE NOT EXISTS (SELECT FROM dim_time)
ON CONFLICT DO NOTHING

-- name: warehouse_id
-- Made once: tells a rebuilt database from the one that the SQLite cache was filled from.
INSERT INTO pipeline_meta (key, value) VALUES ('warehouse_id', gen_random_uuid()::text)
ON CONFLICT DO NOTHING
