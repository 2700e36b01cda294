-- name: v_booking
-- One amount, whether the bank writes a sign or two columns.
CREATE OR REPLACE VIEW v_booking AS
SELECT bank, account, booked_on, purpose, coalesce(amount, coalesce(paid_in, 0) - coalesce(paid_out, 0)) AS amount
FROM fact_booking;
