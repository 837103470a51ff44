-- Every resource has a number for the tables and a `key`, the id in its resource name. Text that is compared or
-- ordered compares by byte (COLLATE "C"). `revision` is the project's revision that last changed the row, and its etag;
-- what is outside of projects counts its own versions.

CREATE TABLE organisations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    display_name text NOT NULL,
    persist_trait_data boolean NOT NULL,
    stop_serving_flags boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text COLLATE "C" NOT NULL UNIQUE,
    email text NOT NULL,
    email_lower text COLLATE "C" NOT NULL UNIQUE,
    display_name text NOT NULL,
    administrator boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE members (
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('admin', 'member')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint REFERENCES users ON DELETE CASCADE,
    organisation_id bigint REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    hint text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    CHECK ((user_id IS NULL) <> (organisation_id IS NULL)),
    UNIQUE (user_id, key),
    UNIQUE (organisation_id, key)
);

CREATE TABLE projects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    prevent_flag_defaults boolean NOT NULL,
    revision bigint NOT NULL CHECK (revision >= 1),
    settings_revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (organisation_id, key)
);

CREATE TABLE environments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    hide_disabled_flags boolean NOT NULL,
    allow_client_traits boolean NOT NULL,
    identity_hashing text NOT NULL CHECK (identity_hashing IN ('composite', 'identifier')),
    hashing_key text NOT NULL,
    revision bigint NOT NULL,
    -- Moves with `revision` and with what evaluation looks at of the organisation.
    settings_revision bigint NOT NULL,
    created_revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, id)
);

CREATE TABLE environment_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('client_side', 'server_side')),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    hint text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    revision bigint NOT NULL,
    UNIQUE (environment_id, key)
);

-- Secrets that were replaced by a rotation and are still accepted for a while.
CREATE TABLE environment_key_secrets (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    key_id bigint NOT NULL REFERENCES environment_keys ON DELETE CASCADE,
    hint text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX environment_key_secrets_key ON environment_key_secrets (key_id);

CREATE TABLE features (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    key_lower text COLLATE "C" NOT NULL,
    description text NOT NULL,
    value_type text NOT NULL CHECK (value_type IN ('any', 'boolean', 'integer', 'double', 'string', 'json')),
    initial_value jsonb,
    default_enabled boolean NOT NULL,
    variants jsonb NOT NULL CHECK (jsonb_typeof(variants) = 'array'),
    tags jsonb NOT NULL CHECK (jsonb_typeof(tags) = 'array'),
    owners jsonb NOT NULL CHECK (jsonb_typeof(owners) = 'array'),
    archived boolean NOT NULL,
    server_side_only boolean NOT NULL,
    hashing_key text NOT NULL,
    created_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, key_lower),
    UNIQUE (project_id, id)
);

CREATE TABLE feature_tombstones (
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (project_id, key)
);

CREATE TABLE flags (
    project_id bigint NOT NULL,
    environment_id bigint NOT NULL,
    feature_id bigint NOT NULL,
    enabled boolean NOT NULL,
    value jsonb,
    weights jsonb NOT NULL CHECK (jsonb_typeof(weights) = 'array'),
    hashing_key text NOT NULL,
    metadata text,
    revision bigint NOT NULL,
    -- Moves with `revision` and with the flag's identity overrides.
    rules_revision bigint NOT NULL,
    PRIMARY KEY (environment_id, feature_id),
    UNIQUE (project_id, environment_id, feature_id),
    FOREIGN KEY (project_id, environment_id) REFERENCES environments (project_id, id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, feature_id) REFERENCES features (project_id, id) ON DELETE CASCADE
);
CREATE INDEX flags_feature ON flags (feature_id);

CREATE TABLE segments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    feature_id bigint,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    rules jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
    hashing_key text NOT NULL,
    metadata text,
    created_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, feature_id) REFERENCES features (project_id, id) ON DELETE CASCADE
);
CREATE INDEX segments_feature ON segments (feature_id);

CREATE TABLE segment_overrides (
    project_id bigint NOT NULL,
    environment_id bigint NOT NULL,
    feature_id bigint NOT NULL,
    segment_id bigint NOT NULL,
    -- 0 to n - 1 within a flag; negative only while they are being put in order.
    priority bigint NOT NULL,
    enabled boolean NOT NULL,
    value jsonb,
    weights jsonb NOT NULL CHECK (jsonb_typeof(weights) = 'array'),
    hashing_key text NOT NULL,
    metadata text,
    PRIMARY KEY (environment_id, feature_id, segment_id),
    UNIQUE (environment_id, feature_id, priority),
    FOREIGN KEY (project_id, environment_id, feature_id)
        REFERENCES flags (project_id, environment_id, feature_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, segment_id) REFERENCES segments (project_id, id) ON DELETE CASCADE
);
CREATE INDEX segment_overrides_segment ON segment_overrides (segment_id);

-- An identifier may be longer than an index entry may be, so rows are keyed by its SHA-256.
CREATE TABLE identity_overrides (
    project_id bigint NOT NULL,
    environment_id bigint NOT NULL,
    feature_id bigint NOT NULL,
    identity_hash bytea NOT NULL CHECK (octet_length(identity_hash) = 32),
    identifier text COLLATE "C" NOT NULL,
    enabled boolean NOT NULL,
    value jsonb,
    weights jsonb NOT NULL CHECK (jsonb_typeof(weights) = 'array'),
    hashing_key text NOT NULL,
    metadata text,
    revision bigint NOT NULL,
    PRIMARY KEY (environment_id, feature_id, identity_hash),
    FOREIGN KEY (project_id, environment_id, feature_id)
        REFERENCES flags (project_id, environment_id, feature_id) ON DELETE CASCADE
);
CREATE INDEX identity_overrides_identity ON identity_overrides (environment_id, identity_hash);

CREATE TABLE identities (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    identity_hash bytea NOT NULL CHECK (octet_length(identity_hash) = 32),
    identifier text COLLATE "C" NOT NULL,
    hashing_key text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (environment_id, identity_hash)
) PARTITION BY HASH (environment_id);

CREATE TABLE traits (
    environment_id bigint NOT NULL,
    identity_hash bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (environment_id, identity_hash, key),
    FOREIGN KEY (environment_id, identity_hash) REFERENCES identities ON DELETE CASCADE
) PARTITION BY HASH (environment_id);

DO $$
BEGIN
    FOR remainder IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE identities_%1$s PARTITION OF identities FOR VALUES WITH (MODULUS 16, REMAINDER %1$s)',
            remainder
        );
        EXECUTE format(
            'CREATE TABLE traits_%1$s PARTITION OF traits FOR VALUES WITH (MODULUS 16, REMAINDER %1$s)',
            remainder
        );
    END LOOP;
END
$$;

CREATE TABLE changes (
    project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    actor text NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    reason text NOT NULL,
    entries jsonb NOT NULL CHECK (jsonb_typeof(entries) = 'array'),
    -- The numbers of the environments whose evaluation it may have changed; NULL means all.
    touched jsonb CHECK (jsonb_typeof(touched) = 'array'),
    PRIMARY KEY (project_id, revision)
);

-- The requests that were carried out, so that a repeated one is one change. No foreign key: that a project was deleted
-- must be remembered, too.
CREATE TABLE requests (
    scope text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (scope, request_id)
);
CREATE INDEX requests_age ON requests (scope, created_at);
