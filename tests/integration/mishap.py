"""A connection that ends in the middle of a change of tables: at the step to which the sequence counts down."""

MISHAP = """
CREATE SCHEMA mishap;
CREATE SEQUENCE mishap.step INCREMENT -1 MINVALUE -1000 MAXVALUE 1000;
CREATE FUNCTION mishap.happens() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('mishap.step') = 0 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
END $$;
CREATE EVENT TRIGGER mishap ON ddl_command_end EXECUTE FUNCTION mishap.happens();
"""
