-- What stands in for Citus in the tests of scripts/distribute.py: functions of the same names, which distribute nothing
-- and raise where the documentation ("Creating and Modifying Distributed Objects (DDL)", "Citus Utility Functions",
-- "SQL Support and Workarounds") says that Citus would.

CREATE TABLE stand_in (
    relation regclass PRIMARY KEY,
    kind text NOT NULL,  -- reference, distributed, or local: known to Citus by a foreign key
    distribution_column name,
    colocation integer
);
CREATE SEQUENCE stand_in_colocation;

CREATE FUNCTION stand_in_kind(wanted regclass) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce((SELECT kind FROM stand_in WHERE relation = wanted), 'plain') $$;

-- Every foreign key of and to a table, as it is by now.
CREATE FUNCTION stand_in_check(checked regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    own stand_in;
    other stand_in;
    k record;
BEGIN
    SELECT * INTO own FROM stand_in WHERE relation = checked;
    FOR k IN SELECT c.*, child.kind AS child_kind, parent.kind AS parent_kind, child.colocation AS child_group,
                    parent.colocation AS parent_group,
                    (SELECT bool_or(ca.attname = child.distribution_column AND pa.attname = parent.distribution_column)
                     FROM generate_subscripts(c.conkey, 1) AS i
                     JOIN pg_attribute ca ON ca.attrelid = c.conrelid AND ca.attnum = c.conkey[i]
                     JOIN pg_attribute pa ON pa.attrelid = c.confrelid AND pa.attnum = c.confkey[i]) AS by_column
             FROM pg_constraint c
             LEFT JOIN stand_in child ON child.relation = c.conrelid
             LEFT JOIN stand_in parent ON parent.relation = c.confrelid
             WHERE c.contype = 'f' AND checked IN (c.conrelid, c.confrelid) LOOP
        IF k.child_kind = 'distributed' AND k.parent_kind = 'distributed' THEN
            IF k.child_group <> k.parent_group OR NOT k.by_column THEN
                RAISE 'foreign key % between distributed tables: not co-located, or not by the distribution column', k.conname;
            END IF;
        ELSIF k.child_kind = 'distributed' AND k.parent_kind IS DISTINCT FROM 'reference' THEN
            RAISE 'foreign key % from a distributed table to one that is none', k.conname;
        ELSIF k.parent_kind = 'distributed' THEN
            RAISE 'foreign key % to a distributed table from one that is none', k.conname;
        END IF;
    END LOOP;
    IF own.kind = 'distributed' AND EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = checked AND (i.indisunique OR i.indisexclusion) AND NOT EXISTS (
            SELECT FROM unnest(i.indkey) AS part (attnum)
            JOIN pg_attribute a ON a.attrelid = checked AND a.attnum = part.attnum
            WHERE a.attname = own.distribution_column)) THEN
        RAISE 'a unique constraint of % lacks the distribution column', checked;
    END IF;
END $$;

CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF stand_in_kind(table_name) IN ('reference', 'distributed') THEN
        RAISE 'table % is distributed already', table_name;
    END IF;
    INSERT INTO stand_in VALUES (table_name, 'reference')
    ON CONFLICT (relation) DO UPDATE SET kind = 'reference';
    -- What a foreign key ties to it becomes known to Citus, as a local table.
    INSERT INTO stand_in
    SELECT DISTINCT CASE WHEN c.conrelid = table_name THEN c.confrelid ELSE c.conrelid END, 'local'
    FROM pg_constraint c
    WHERE c.contype = 'f' AND table_name IN (c.conrelid, c.confrelid)
    ON CONFLICT DO NOTHING;
    PERFORM stand_in_check(table_name);
END $$;

CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text,
                                         colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    has_identity boolean;
    beside stand_in;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = table_name AND attname = distribution_column) THEN
        RAISE 'column % of % does not exist', distribution_column, table_name;
    END IF;
    IF stand_in_kind(table_name) IN ('reference', 'distributed') THEN
        RAISE 'table % is distributed already', table_name;
    END IF;
    SELECT bool_or(attidentity <> '') INTO has_identity FROM pg_attribute WHERE attrelid = table_name AND attnum > 0;
    IF has_identity AND stand_in_kind(table_name) = 'local' THEN
        RAISE 'cannot complete operation on a table with identity column: %', table_name;  -- citus issue 7888
    END IF;
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = table_name AND attidentity <> ''
                                          AND atttypid <> 'bigint'::regtype) THEN
        RAISE 'an identity column of % is smaller than bigint', table_name;
    END IF;
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = table_name AND NOT tgisinternal) THEN
        RAISE 'triggers are not supported on distributed tables: %', table_name;
    END IF;
    IF colocate_with NOT IN ('default', 'none') THEN
        SELECT * INTO beside FROM stand_in WHERE relation = colocate_with::regclass AND kind = 'distributed';
    END IF;
    INSERT INTO stand_in VALUES (
        table_name, 'distributed', distribution_column, coalesce(
            beside.colocation, CASE colocate_with WHEN 'default' THEN 0 ELSE nextval('stand_in_colocation') END))
    ON CONFLICT (relation) DO UPDATE
    SET kind = 'distributed', distribution_column = excluded.distribution_column, colocation = excluded.colocation;
    PERFORM stand_in_check(table_name);
END $$;
