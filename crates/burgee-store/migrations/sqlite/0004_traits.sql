-- The same tables as in PostgreSQL. Traits are kept in the row of their identity.

ALTER TABLE identities
    ADD COLUMN traits TEXT NOT NULL DEFAULT '{}' CHECK (json_type(traits) = 'object');

UPDATE identities SET traits = (
    SELECT json_group_object(key, json(value)) FROM traits
    WHERE traits.environment_id = identities.environment_id AND traits.identity_hash = identities.identity_hash
)
WHERE EXISTS (
    SELECT 1 FROM traits
    WHERE traits.environment_id = identities.environment_id AND traits.identity_hash = identities.identity_hash
);

DROP TABLE traits;
