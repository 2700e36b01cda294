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
CROSS JOIN (SELECT now() AT TIME ZONE 'utc' AS utc) AS clock;
