CREATE SCHEMA sys;

CREATE TABLE sys.users (
    id                                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at                            timestamptz NOT NULL DEFAULT now(),
    created_by                            uuid REFERENCES sys.users (id),
    updated_at                            timestamptz,
    updated_by                            uuid REFERENCES sys.users (id),
    username                              varchar(100) NOT NULL,
    password                              varchar(255) NOT NULL,
    full_name                             varchar(100),
    email                                 varchar(255) NOT NULL CHECK (email ~* '^[a-z0-9._%+-]+@[a-z0-9.-]+[.][a-z]{2,}$'),
    phone                                 varchar(50) CHECK (phone ~ '^[+]?[0-9() -]{7,50}$'),
    role_id                               uuid,
    default_conflict_resolution_policy_id uuid,
    is_system_user                        boolean NOT NULL,
    last_login_at                         timestamptz,
    last_login_ip                         varchar(45),
    failed_login_attempts                 integer,
    locked_until                          timestamptz,
    is_active                             boolean DEFAULT true,
    is_deleted                            boolean DEFAULT false
);

CREATE UNIQUE INDEX ON sys.users (username) WHERE is_deleted = false;
CREATE UNIQUE INDEX ON sys.users (email) WHERE is_deleted = false;
