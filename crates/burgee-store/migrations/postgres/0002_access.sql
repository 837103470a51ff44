-- Who may do what, and the record of it. A row of `logs` is the change log of an organisation, or, without one, of the server.

CREATE TABLE logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint UNIQUE REFERENCES organisations ON DELETE CASCADE,
    revision bigint NOT NULL CHECK (revision >= 0),
    created_at timestamptz NOT NULL
);
INSERT INTO logs (organisation_id, revision, created_at) VALUES (NULL, 0, now());
INSERT INTO logs (organisation_id, revision, created_at) SELECT id, 0, created_at FROM organisations ORDER BY id;
-- There is one log of the server.
CREATE UNIQUE INDEX logs_server ON logs ((organisation_id IS NULL)) WHERE organisation_id IS NULL;

CREATE TABLE log_changes (
    log_id bigint NOT NULL REFERENCES logs ON DELETE CASCADE,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    actor text NOT NULL,
    credential text NOT NULL,
    on_behalf_of text NOT NULL,
    address text NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    reason text NOT NULL,
    entries jsonb NOT NULL CHECK (jsonb_typeof(entries) = 'array'),
    PRIMARY KEY (log_id, revision)
);
CREATE INDEX log_changes_age ON log_changes (log_id, created_at);

ALTER TABLE changes
    ADD COLUMN credential text NOT NULL DEFAULT '',
    ADD COLUMN on_behalf_of text NOT NULL DEFAULT '',
    ADD COLUMN address text NOT NULL DEFAULT '';
CREATE INDEX changes_age ON changes (project_id, created_at);

-- Request ids outside of projects belong to a log from now on.
DELETE FROM requests WHERE scope = 'server';

-- Users of before were made by administrators, who answer for the addresses.
ALTER TABLE users ADD COLUMN email_verified boolean NOT NULL DEFAULT true;
-- Nobody has the address of the first user.
UPDATE users SET email_verified = false WHERE email_lower = 'administrator@localhost';

-- Whom issuers mean.
CREATE TABLE user_subjects (
    issuer text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX user_subjects_user ON user_subjects (user_id);

-- Tokens of before have no salt, and are looked up by their whole hash.
ALTER TABLE tokens
    ADD COLUMN lookup text COLLATE "C",
    ADD COLUMN salt bytea CHECK (octet_length(salt) = 16),
    ADD COLUMN last_used_at timestamptz;
UPDATE tokens SET lookup = encode(hash, 'hex');
ALTER TABLE tokens ALTER COLUMN lookup SET NOT NULL, ADD UNIQUE (lookup);

CREATE TABLE groups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    is_default boolean NOT NULL,
    external_id text COLLATE "C",
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, external_id),
    UNIQUE (organisation_id, id)
);

-- Who leaves the organisation leaves its groups.
CREATE TABLE group_members (
    organisation_id bigint NOT NULL,
    group_id bigint NOT NULL,
    user_id bigint NOT NULL,
    administrator boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (group_id, user_id),
    FOREIGN KEY (organisation_id, group_id) REFERENCES groups (organisation_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organisation_id, user_id) REFERENCES members (organisation_id, user_id) ON DELETE CASCADE
);
CREATE INDEX group_members_user ON group_members (organisation_id, user_id);

CREATE TABLE invitations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    email text,
    email_lower text COLLATE "C",
    role text NOT NULL CHECK (role IN ('admin', 'member')),
    -- The keys of groups; those that were deleted since are left out.
    groups jsonb NOT NULL CHECK (jsonb_typeof(groups) = 'array'),
    lookup text COLLATE "C" NOT NULL UNIQUE,
    salt bytea NOT NULL CHECK (octet_length(salt) = 16),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    inviter text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    UNIQUE (organisation_id, key)
);

CREATE TABLE roles (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    permissions jsonb NOT NULL CHECK (jsonb_typeof(permissions) = 'array'),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, id)
);

CREATE TABLE trust_relationships (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    issuer text NOT NULL,
    audience text NOT NULL,
    claim_rules jsonb NOT NULL CHECK (jsonb_typeof(claim_rules) = 'array'),
    token_lifetime_seconds bigint NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (organisation_id, key),
    UNIQUE (organisation_id, id)
);

CREATE TABLE exchanged_tokens (
    lookup text COLLATE "C" PRIMARY KEY,
    trust_relationship_id bigint NOT NULL REFERENCES trust_relationships ON DELETE CASCADE,
    salt bytea NOT NULL CHECK (octet_length(salt) = 16),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    subject text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX exchanged_tokens_age ON exchanged_tokens (trust_relationship_id, expires_at);

-- To somebody of the organisation, on something of the organisation: on all of it, if neither project nor environment is set.
ALTER TABLE tokens ADD UNIQUE (organisation_id, id);
ALTER TABLE projects ADD UNIQUE (organisation_id, id);
CREATE TABLE grants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    user_id bigint,
    group_id bigint,
    token_id bigint,
    trust_relationship_id bigint,
    project_id bigint,
    environment_id bigint,
    role_id bigint,
    permissions jsonb NOT NULL CHECK (jsonb_typeof(permissions) = 'array'),
    tags jsonb NOT NULL CHECK (jsonb_typeof(tags) = 'array'),
    created_at timestamptz NOT NULL,
    UNIQUE (organisation_id, key),
    CHECK (num_nonnulls(user_id, group_id, token_id, trust_relationship_id) = 1),
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
);
CREATE INDEX grants_user ON grants (organisation_id, user_id);
CREATE INDEX grants_group ON grants (group_id);
CREATE INDEX grants_token ON grants (token_id);
CREATE INDEX grants_trust_relationship ON grants (trust_relationship_id);
CREATE INDEX grants_project ON grants (project_id);
CREATE INDEX grants_environment ON grants (environment_id);
CREATE INDEX grants_role ON grants (role_id);

-- Keys of before may be used for all that their kind could be used for.
ALTER TABLE environment_keys
    ADD COLUMN scopes jsonb NOT NULL DEFAULT '["evaluate", "identify"]' CHECK (jsonb_typeof(scopes) = 'array'),
    ADD COLUMN tags jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tags) = 'array');
UPDATE environment_keys SET scopes = '["evaluate", "watch_rules", "identify", "explain"]' WHERE kind = 'server_side';
