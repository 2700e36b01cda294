-- FastFeast's views for people and BI tools; pipeline_config.yaml names this file under `views`. Each block is made when
-- the configuration has all tables after its FROM and JOIN, and replaced every sla.refresh_minutes; a view that reads
-- another one comes after it. Days are UTC.

-- name: v_ticket_sla_performance
-- How each ticket stands against its SLA. The two booleans are as the dashboard has always read them: false while
-- a time is unknown. The statuses tell late from not yet: met, breached or pending, as of now (UTC).
CREATE OR REPLACE VIEW v_ticket_sla_performance AS
SELECT
    t.ticket_id,
    t.agent_id,
    t.created_at,
    t.first_response_at,
    t.sla_first_due_at,
    t.resolved_at,
    t.sla_resolve_due_at,
    CASE WHEN t.first_response_at <= t.sla_first_due_at THEN true ELSE false END AS is_first_response_met,
    CASE WHEN t.resolved_at <= t.sla_resolve_due_at THEN true ELSE false END AS is_resolution_met,
    t.first_response_min,
    t.resolution_min,
    CASE
        WHEN t.sla_first_due_at IS NULL THEN NULL
        WHEN coalesce(t.first_response_at, clock.utc) > t.sla_first_due_at THEN 'breached'
        WHEN t.first_response_at IS NULL THEN 'pending'
        ELSE 'met'
    END AS first_response_status,
    CASE
        WHEN t.sla_resolve_due_at IS NULL THEN NULL
        WHEN coalesce(t.resolved_at, clock.utc) > t.sla_resolve_due_at THEN 'breached'
        WHEN t.resolved_at IS NULL THEN 'pending'
        ELSE 'met'
    END AS resolution_status,
    round(greatest(extract(epoch FROM coalesce(t.first_response_at, clock.utc) - t.sla_first_due_at) / 60, 0), 2)
        AS first_response_minutes_over,
    round(greatest(extract(epoch FROM coalesce(t.resolved_at, clock.utc) - t.sla_resolve_due_at) / 60, 0), 2)
        AS resolution_minutes_over
FROM fact_ticket AS t
CROSS JOIN (SELECT now() AT TIME ZONE 'utc' AS utc) AS clock

-- name: v_ticket_sla_by_agent
-- One row an agent and day of the tickets' opening.
CREATE OR REPLACE VIEW v_ticket_sla_by_agent AS
SELECT
    to_char(s.created_at, 'YYYYMMDD')::integer AS date_key,
    s.created_at::date AS day,
    s.agent_id,
    a.agent_name,
    a.team_id,
    count(*) AS tickets,
    count(*) FILTER (WHERE s.first_response_status = 'met') AS first_response_met,
    count(*) FILTER (WHERE s.first_response_status = 'breached') AS first_response_breached,
    count(*) FILTER (WHERE s.first_response_status = 'pending') AS first_response_pending,
    round(100.0 * count(*) FILTER (WHERE s.first_response_status = 'met')
          / nullif(count(*) FILTER (WHERE s.first_response_status IN ('met', 'breached')), 0), 2)
        AS first_response_met_pct,
    coalesce(sum(s.first_response_minutes_over), 0) AS first_response_breach_min,
    count(*) FILTER (WHERE s.resolution_status = 'met') AS resolution_met,
    count(*) FILTER (WHERE s.resolution_status = 'breached') AS resolution_breached,
    count(*) FILTER (WHERE s.resolution_status = 'pending') AS resolution_pending,
    round(100.0 * count(*) FILTER (WHERE s.resolution_status = 'met')
          / nullif(count(*) FILTER (WHERE s.resolution_status IN ('met', 'breached')), 0), 2)
        AS resolution_met_pct,
    coalesce(sum(s.resolution_minutes_over), 0) AS resolution_breach_min
FROM v_ticket_sla_performance AS s
LEFT JOIN dim_agent AS a ON a.agent_id = s.agent_id
GROUP BY 1, 2, s.agent_id, a.agent_name, a.team_id

-- name: v_ticket_sla_by_team
-- One row a team and day of the tickets' opening.
CREATE OR REPLACE VIEW v_ticket_sla_by_team AS
SELECT
    to_char(s.created_at, 'YYYYMMDD')::integer AS date_key,
    s.created_at::date AS day,
    a.team_id,
    t.team_name,
    count(*) AS tickets,
    count(*) FILTER (WHERE s.first_response_status = 'met') AS first_response_met,
    count(*) FILTER (WHERE s.first_response_status = 'breached') AS first_response_breached,
    count(*) FILTER (WHERE s.first_response_status = 'pending') AS first_response_pending,
    round(100.0 * count(*) FILTER (WHERE s.first_response_status = 'met')
          / nullif(count(*) FILTER (WHERE s.first_response_status IN ('met', 'breached')), 0), 2)
        AS first_response_met_pct,
    coalesce(sum(s.first_response_minutes_over), 0) AS first_response_breach_min,
    count(*) FILTER (WHERE s.resolution_status = 'met') AS resolution_met,
    count(*) FILTER (WHERE s.resolution_status = 'breached') AS resolution_breached,
    count(*) FILTER (WHERE s.resolution_status = 'pending') AS resolution_pending,
    round(100.0 * count(*) FILTER (WHERE s.resolution_status = 'met')
          / nullif(count(*) FILTER (WHERE s.resolution_status IN ('met', 'breached')), 0), 2)
        AS resolution_met_pct,
    coalesce(sum(s.resolution_minutes_over), 0) AS resolution_breach_min
FROM v_ticket_sla_performance AS s
LEFT JOIN dim_agent AS a ON a.agent_id = s.agent_id
LEFT JOIN dim_team AS t ON t.team_id = a.team_id
GROUP BY 1, 2, a.team_id, t.team_name

-- name: v_ticket_sla_by_reason
-- One row a reason and day of the tickets' opening.
CREATE OR REPLACE VIEW v_ticket_sla_by_reason AS
SELECT
    to_char(s.created_at, 'YYYYMMDD')::integer AS date_key,
    s.created_at::date AS day,
    f.reason_id,
    r.reason_name,
    r.reason_category,
    count(*) AS tickets,
    count(*) FILTER (WHERE s.first_response_status = 'met') AS first_response_met,
    count(*) FILTER (WHERE s.first_response_status = 'breached') AS first_response_breached,
    count(*) FILTER (WHERE s.first_response_status = 'pending') AS first_response_pending,
    round(100.0 * count(*) FILTER (WHERE s.first_response_status = 'met')
          / nullif(count(*) FILTER (WHERE s.first_response_status IN ('met', 'breached')), 0), 2)
        AS first_response_met_pct,
    coalesce(sum(s.first_response_minutes_over), 0) AS first_response_breach_min,
    count(*) FILTER (WHERE s.resolution_status = 'met') AS resolution_met,
    count(*) FILTER (WHERE s.resolution_status = 'breached') AS resolution_breached,
    count(*) FILTER (WHERE s.resolution_status = 'pending') AS resolution_pending,
    round(100.0 * count(*) FILTER (WHERE s.resolution_status = 'met')
          / nullif(count(*) FILTER (WHERE s.resolution_status IN ('met', 'breached')), 0), 2)
        AS resolution_met_pct,
    coalesce(sum(s.resolution_minutes_over), 0) AS resolution_breach_min
FROM v_ticket_sla_performance AS s
JOIN fact_ticket AS f ON f.ticket_id = s.ticket_id
LEFT JOIN dim_reason AS r ON r.reason_id = f.reason_id
GROUP BY 1, 2, f.reason_id, r.reason_name, r.reason_category

-- name: v_daily_operations
-- One row a day on which an order was placed or a ticket opened; one with a null day for what has no time. Orders and
-- tickets are put one below the other: joined, an order would count once for each of its tickets.
CREATE OR REPLACE VIEW v_daily_operations AS
SELECT
    to_char(happened.day, 'YYYYMMDD')::integer AS date_key,
    happened.day,
    count(happened.order_id) AS orders,
    count(*) FILTER (WHERE happened.order_status = 'Delivered') AS delivered,
    count(*) FILTER (WHERE happened.order_status = 'Cancelled') AS cancelled,
    round(100.0 * count(*) FILTER (WHERE happened.order_status = 'Cancelled')
          / nullif(count(happened.order_id), 0), 2) AS cancelled_pct,
    coalesce(sum(happened.total_amount) FILTER (WHERE happened.order_status = 'Delivered'), 0) AS revenue,
    count(happened.delivery_min) AS timed_deliveries,
    round(avg(happened.delivery_min), 2) AS avg_delivery_min,
    count(happened.ticket_id) AS tickets,
    coalesce(sum(happened.refund_amount), 0) AS refunds
FROM (
    SELECT o.created_at::date AS day, o.order_id, o.order_status, o.total_amount,
           CASE WHEN o.order_status = 'Delivered' THEN extract(epoch FROM o.delivered_at - o.created_at)::numeric / 60
           END AS delivery_min,
           NULL::varchar AS ticket_id, NULL::numeric AS refund_amount
    FROM fact_order AS o
    UNION ALL
    SELECT t.created_at::date, NULL, NULL, NULL, NULL, t.ticket_id, t.refund_amount
    FROM fact_ticket AS t
) AS happened
GROUP BY happened.day

-- name: v_orders_by_region_hour
-- One row a region, day and hour in which an order was placed.
CREATE OR REPLACE VIEW v_orders_by_region_hour AS
SELECT
    to_char(o.created_at, 'YYYYMMDD')::integer AS date_key,
    o.created_at::date AS day,
    extract(hour FROM o.created_at)::smallint AS hour,
    o.region_id,
    r.region_name,
    r.city_name,
    count(*) AS orders,
    count(*) FILTER (WHERE o.order_status = 'Delivered') AS delivered,
    count(*) FILTER (WHERE o.order_status = 'Cancelled') AS cancelled,
    coalesce(sum(o.total_amount) FILTER (WHERE o.order_status = 'Delivered'), 0) AS revenue
FROM fact_order AS o
LEFT JOIN dim_region AS r ON r.region_id = o.region_id
GROUP BY 1, 2, 3, o.region_id, r.region_name, r.city_name

-- name: v_revenue_refunds
-- One row a day, region and restaurant: revenue on the day of the order, refunds on the day of the ticket. The region
-- is that of the order, for a ticket too.
CREATE OR REPLACE VIEW v_revenue_refunds AS
SELECT
    to_char(money.day, 'YYYYMMDD')::integer AS date_key,
    money.day,
    money.region_id,
    g.region_name,
    money.restaurant_id,
    r.restaurant_name,
    r.category_id,
    c.category_name,
    count(money.order_id) AS delivered_orders,
    coalesce(sum(money.total_amount), 0) AS revenue,
    count(money.ticket_id) AS refunded_tickets,
    coalesce(sum(money.refund_amount), 0) AS refunds,
    coalesce(sum(money.total_amount), 0) - coalesce(sum(money.refund_amount), 0) AS net_revenue,
    round(100 * coalesce(sum(money.refund_amount), 0) / nullif(sum(money.total_amount), 0), 2) AS refund_pct
FROM (
    SELECT o.created_at::date AS day, o.region_id, o.restaurant_id, o.order_id, o.total_amount,
           NULL::varchar AS ticket_id, NULL::numeric AS refund_amount
    FROM fact_order AS o
    WHERE o.order_status = 'Delivered'
    UNION ALL
    SELECT t.created_at::date, t.region_id, t.restaurant_id, NULL, NULL, t.ticket_id, t.refund_amount
    FROM fact_ticket AS t
    WHERE t.refund_amount > 0
) AS money
LEFT JOIN dim_region AS g ON g.region_id = money.region_id
LEFT JOIN dim_restaurant AS r ON r.restaurant_id = money.restaurant_id
LEFT JOIN dim_category AS c ON c.category_id = r.category_id
GROUP BY money.day, money.region_id, g.region_name, money.restaurant_id, r.restaurant_name, r.category_id,
         c.category_name
