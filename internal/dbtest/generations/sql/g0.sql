-- The design document: is_active false means deleted, and the API returns the verified flags.
ALTER TABLE idam.users
    ADD COLUMN email_verified boolean NOT NULL DEFAULT false,
    ADD COLUMN phone_verified boolean NOT NULL DEFAULT false,
    ADD COLUMN is_active      boolean;
