-- Old tenants: an additional code, the name in two parts, and no lock.
CREATE SCHEMA sys;

CREATE TABLE sys.users (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    uuid REFERENCES sys.users (id),
    updated_at    timestamptz,
    updated_by    uuid REFERENCES sys.users (id),
    user_code     varchar(50) NOT NULL UNIQUE,
    username      varchar(100) NOT NULL UNIQUE,
    email         varchar(255) NOT NULL UNIQUE,
    password_hash varchar(255) NOT NULL,
    first_name    varchar(100),
    last_name     varchar(100),
    phone         varchar(50),
    department_id uuid,
    position      varchar(100),
    role_id       uuid,
    last_login_at timestamptz,
    is_active     boolean DEFAULT true,
    is_deleted    boolean DEFAULT false
);
