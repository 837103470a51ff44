-- The same tables as in PostgreSQL. Every resource has a number for the tables and a `key`, the id in its resource name.
-- Text compares by byte (the default); times are RFC 3339 in UTC, always bound by the store. `revision` is the project's
-- revision that last changed the row, and its etag; what is outside of projects counts its own versions.

CREATE TABLE organisations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    persist_trait_data INTEGER NOT NULL CHECK (persist_trait_data IN (0, 1)),
    stop_serving_flags INTEGER NOT NULL CHECK (stop_serving_flags IN (0, 1)),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    email_lower TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    administrator INTEGER NOT NULL CHECK (administrator IN (0, 1)),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE members (
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
) STRICT;
CREATE INDEX members_user ON members (user_id);

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER REFERENCES users ON DELETE CASCADE,
    organisation_id INTEGER REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    CHECK ((user_id IS NULL) <> (organisation_id IS NULL)),
    UNIQUE (user_id, key),
    UNIQUE (organisation_id, key)
) STRICT;

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    prevent_flag_defaults INTEGER NOT NULL CHECK (prevent_flag_defaults IN (0, 1)),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    settings_revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (organisation_id, key)
) STRICT;

CREATE TABLE environments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    hide_disabled_flags INTEGER NOT NULL CHECK (hide_disabled_flags IN (0, 1)),
    allow_client_traits INTEGER NOT NULL CHECK (allow_client_traits IN (0, 1)),
    identity_hashing TEXT NOT NULL CHECK (identity_hashing IN ('composite', 'identifier')),
    hashing_key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    -- Moves with `revision` and with what evaluation looks at of the organisation.
    settings_revision INTEGER NOT NULL,
    created_revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, id)
) STRICT;

CREATE TABLE environment_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    environment_id INTEGER NOT NULL REFERENCES environments ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('client_side', 'server_side')),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    revision INTEGER NOT NULL,
    UNIQUE (environment_id, key)
) STRICT;

-- Secrets that were replaced by a rotation and are still accepted for a while.
CREATE TABLE environment_key_secrets (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    key_id INTEGER NOT NULL REFERENCES environment_keys ON DELETE CASCADE,
    hint TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX environment_key_secrets_key ON environment_key_secrets (key_id);

CREATE TABLE features (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    key TEXT NOT NULL,
    key_lower TEXT NOT NULL,
    description TEXT NOT NULL,
    value_type TEXT NOT NULL CHECK (value_type IN ('any', 'boolean', 'integer', 'double', 'string', 'json')),
    initial_value TEXT,
    default_enabled INTEGER NOT NULL CHECK (default_enabled IN (0, 1)),
    variants TEXT NOT NULL CHECK (json_type(variants) = 'array'),
    tags TEXT NOT NULL CHECK (json_type(tags) = 'array'),
    owners TEXT NOT NULL CHECK (json_type(owners) = 'array'),
    archived INTEGER NOT NULL CHECK (archived IN (0, 1)),
    server_side_only INTEGER NOT NULL CHECK (server_side_only IN (0, 1)),
    hashing_key TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, key_lower),
    UNIQUE (project_id, id)
) STRICT;

CREATE TABLE feature_tombstones (
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (project_id, key)
) STRICT;

CREATE TABLE flags (
    project_id INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    value TEXT,
    weights TEXT NOT NULL CHECK (json_type(weights) = 'array'),
    hashing_key TEXT NOT NULL,
    metadata TEXT,
    revision INTEGER NOT NULL,
    -- Moves with `revision` and with the flag's identity overrides.
    rules_revision INTEGER NOT NULL,
    PRIMARY KEY (environment_id, feature_id),
    UNIQUE (project_id, environment_id, feature_id),
    FOREIGN KEY (project_id, environment_id) REFERENCES environments (project_id, id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, feature_id) REFERENCES features (project_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX flags_feature ON flags (feature_id);

CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    feature_id INTEGER,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    rules TEXT NOT NULL CHECK (json_type(rules) = 'array'),
    hashing_key TEXT NOT NULL,
    metadata TEXT,
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (project_id, key),
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, feature_id) REFERENCES features (project_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX segments_feature ON segments (feature_id);

CREATE TABLE segment_overrides (
    project_id INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    segment_id INTEGER NOT NULL,
    -- 0 to n - 1 within a flag; negative only while they are being put in order.
    priority INTEGER NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    value TEXT,
    weights TEXT NOT NULL CHECK (json_type(weights) = 'array'),
    hashing_key TEXT NOT NULL,
    metadata TEXT,
    PRIMARY KEY (environment_id, feature_id, segment_id),
    UNIQUE (environment_id, feature_id, priority),
    FOREIGN KEY (project_id, environment_id, feature_id)
        REFERENCES flags (project_id, environment_id, feature_id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, segment_id) REFERENCES segments (project_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX segment_overrides_segment ON segment_overrides (segment_id);

-- An identifier may be longer than an index entry may be, so rows are keyed by its SHA-256.
CREATE TABLE identity_overrides (
    project_id INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    identity_hash BLOB NOT NULL CHECK (length(identity_hash) = 32),
    identifier TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    value TEXT,
    weights TEXT NOT NULL CHECK (json_type(weights) = 'array'),
    hashing_key TEXT NOT NULL,
    metadata TEXT,
    revision INTEGER NOT NULL,
    PRIMARY KEY (environment_id, feature_id, identity_hash),
    FOREIGN KEY (project_id, environment_id, feature_id)
        REFERENCES flags (project_id, environment_id, feature_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX identity_overrides_identity ON identity_overrides (environment_id, identity_hash);

CREATE TABLE identities (
    environment_id INTEGER NOT NULL REFERENCES environments ON DELETE CASCADE,
    identity_hash BLOB NOT NULL CHECK (length(identity_hash) = 32),
    identifier TEXT NOT NULL,
    hashing_key TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (environment_id, identity_hash)
) WITHOUT ROWID, STRICT;

CREATE TABLE traits (
    environment_id INTEGER NOT NULL,
    identity_hash BLOB NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (environment_id, identity_hash, key),
    FOREIGN KEY (environment_id, identity_hash) REFERENCES identities ON DELETE CASCADE
) WITHOUT ROWID, STRICT;

CREATE TABLE changes (
    project_id INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    actor TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    entries TEXT NOT NULL CHECK (json_type(entries) = 'array'),
    -- The numbers of the environments whose evaluation it may have changed; NULL means all.
    touched TEXT CHECK (json_type(touched) = 'array'),
    PRIMARY KEY (project_id, revision)
) STRICT;

-- The requests that were carried out, so that a repeated one is one change. No foreign key: that a project was deleted
-- must be remembered, too.
CREATE TABLE requests (
    scope TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (scope, request_id)
) STRICT;
CREATE INDEX requests_age ON requests (scope, created_at);
