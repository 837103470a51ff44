-- The bytes of each change's entries as JSON text, so that logs are read in parts of a bounded size; 0 for those that a server of
-- before writes meanwhile.
ALTER TABLE changes ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE changes SET bytes = length(CAST(entries AS BLOB));
-- In a row, the sizes stand behind the entries; here, they are found without reading those.
CREATE INDEX changes_bytes ON changes (project_id, revision, bytes);

ALTER TABLE log_changes ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE log_changes SET bytes = length(CAST(entries AS BLOB));
CREATE INDEX log_changes_bytes ON log_changes (log_id, revision, bytes);
