-- Traits are kept in the row of their identity: reading or writing an identity is one row.

ALTER TABLE identities
    ADD COLUMN traits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(traits) = 'object');

UPDATE identities SET traits = gathered.traits
FROM (
    SELECT environment_id, identity_hash, jsonb_object_agg(key, value) AS traits FROM traits
    GROUP BY environment_id, identity_hash
) gathered
WHERE identities.environment_id = gathered.environment_id AND identities.identity_hash = gathered.identity_hash;

DROP TABLE traits;
