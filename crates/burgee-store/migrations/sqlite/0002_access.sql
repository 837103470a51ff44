-- The same tables as in PostgreSQL. Who may do what, and the record of it. A row of `logs` is the change log of an organisation,
-- or, without one, of the server.

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER UNIQUE REFERENCES organisations ON DELETE CASCADE,
    revision INTEGER NOT NULL CHECK (revision >= 0),
    created_at TEXT NOT NULL
) STRICT;
-- As the store binds times.
INSERT INTO logs (organisation_id, revision, created_at)
    VALUES (NULL, 0, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'));
INSERT INTO logs (organisation_id, revision, created_at) SELECT id, 0, created_at FROM organisations ORDER BY id;
-- There is one log of the server.
CREATE UNIQUE INDEX logs_server ON logs ((organisation_id IS NULL)) WHERE organisation_id IS NULL;

CREATE TABLE log_changes (
    log_id INTEGER NOT NULL REFERENCES logs ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    actor TEXT NOT NULL,
    credential TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    entries TEXT NOT NULL CHECK (json_type(entries) = 'array'),
    PRIMARY KEY (log_id, revision)
) STRICT;
CREATE INDEX log_changes_age ON log_changes (log_id, created_at);

ALTER TABLE changes ADD COLUMN credential TEXT NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN on_behalf_of TEXT NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN address TEXT NOT NULL DEFAULT '';
CREATE INDEX changes_age ON changes (project_id, created_at);

-- Request ids outside of projects belong to a log from now on.
DELETE FROM requests WHERE scope = 'server';

-- Users of before were made by administrators, who answer for the addresses.
ALTER TABLE users ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 1 CHECK (email_verified IN (0, 1));
-- Nobody has the address of the first user.
UPDATE users SET email_verified = 0 WHERE email_lower = 'administrator@localhost';

-- Whom issuers mean.
CREATE TABLE user_subjects (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX user_subjects_user ON user_subjects (user_id);

-- Tokens of before have no salt, and are looked up by their whole hash.
ALTER TABLE tokens ADD COLUMN lookup TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN salt BLOB CHECK (length(salt) = 16);
ALTER TABLE tokens ADD COLUMN last_used_at TEXT;
UPDATE tokens SET lookup = lower(hex(hash));
CREATE UNIQUE INDEX tokens_lookup ON tokens (lookup);

CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    external_id TEXT,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, external_id),
    UNIQUE (organisation_id, id)
) STRICT;

-- Who leaves the organisation leaves its groups.
CREATE TABLE group_members (
    organisation_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    administrator INTEGER NOT NULL CHECK (administrator IN (0, 1)),
    created_at TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id),
    FOREIGN KEY (organisation_id, group_id) REFERENCES groups (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, user_id) REFERENCES members (organisation_id, user_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX group_members_user ON group_members (organisation_id, user_id);

CREATE TABLE invitations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    email TEXT,
    email_lower TEXT,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    -- The keys of groups; those that were deleted since are left out.
    groups TEXT NOT NULL CHECK (json_type(groups) = 'array'),
    lookup TEXT NOT NULL UNIQUE,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    inviter TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    accepted_at TEXT,
    UNIQUE (organisation_id, key)
) STRICT;

CREATE TABLE roles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL CHECK (json_type(permissions) = 'array'),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, id)
) STRICT;

CREATE TABLE trust_relationships (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    claim_rules TEXT NOT NULL CHECK (json_type(claim_rules) = 'array'),
    token_lifetime_seconds INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, id)
) STRICT;

CREATE TABLE exchanged_tokens (
    lookup TEXT PRIMARY KEY NOT NULL,
    trust_relationship_id INTEGER NOT NULL REFERENCES trust_relationships ON DELETE CASCADE,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    subject TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX exchanged_tokens_age ON exchanged_tokens (trust_relationship_id, expires_at);

-- To somebody of the organisation, on something of the organisation: on all of it, if neither project nor environment is set.
CREATE UNIQUE INDEX tokens_of_organisation ON tokens (organisation_id, id);
CREATE UNIQUE INDEX projects_of_organisation ON projects (organisation_id, id);
CREATE TABLE grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id INTEGER NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key TEXT NOT NULL,
    user_id INTEGER,
    group_id INTEGER,
    token_id INTEGER,
    trust_relationship_id INTEGER,
    project_id INTEGER,
    environment_id INTEGER,
    role_id INTEGER,
    permissions TEXT NOT NULL CHECK (json_type(permissions) = 'array'),
    tags TEXT NOT NULL CHECK (json_type(tags) = 'array'),
    created_at TEXT NOT NULL,
    UNIQUE (organisation_id, key),
    CHECK (
        (user_id IS NOT NULL) + (group_id IS NOT NULL) + (token_id IS NOT NULL)
            + (trust_relationship_id IS NOT NULL) = 1
    ),
    CHECK (environment_id IS NULL OR project_id IS NOT NULL),
    FOREIGN KEY (organisation_id, user_id) REFERENCES members (organisation_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, group_id) REFERENCES groups (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, token_id) REFERENCES tokens (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, trust_relationship_id)
        REFERENCES trust_relationships (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, project_id) REFERENCES projects (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (project_id, environment_id) REFERENCES environments (project_id, id) ON DELETE CASCADE,
    -- Checked at the end, so that an organisation can be deleted with its roles and grants.
    FOREIGN KEY (organisation_id, role_id) REFERENCES roles (organisation_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX grants_user ON grants (organisation_id, user_id);
CREATE INDEX grants_group ON grants (group_id);
CREATE INDEX grants_token ON grants (token_id);
CREATE INDEX grants_trust_relationship ON grants (trust_relationship_id);
CREATE INDEX grants_project ON grants (project_id);
CREATE INDEX grants_environment ON grants (environment_id);
CREATE INDEX grants_role ON grants (role_id);

-- Keys of before may be used for all that their kind could be used for.
ALTER TABLE environment_keys
    ADD COLUMN scopes TEXT NOT NULL DEFAULT '["evaluate", "identify"]' CHECK (json_type(scopes) = 'array');
ALTER TABLE environment_keys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]' CHECK (json_type(tags) = 'array');
UPDATE environment_keys SET scopes = '["evaluate", "watch_rules", "identify", "explain"]' WHERE kind = 'server_side';
