-- The bytes of each change's entries as JSON text, so that logs are read in parts of a bounded size; 0 for those that a server of
-- before writes meanwhile.
ALTER TABLE changes ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
UPDATE changes SET bytes = octet_length(entries::text);

ALTER TABLE log_changes ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
UPDATE log_changes SET bytes = octet_length(entries::text);
