-- +optional search

-- Indexes for `--search` of all substrings of two and of three characters. They make a bulk load several times slower,
-- so they are only built by `migrate up --with search`. They need no extension. db.Search uses the same expressions; a
-- test compares them.

-- +goose Up
CREATE INDEX IF NOT EXISTS users_bigrams_idx ON idam.users USING gin ((
    string_to_array(regexp_replace(lower((coalesce(username, '') || '|' || coalesce(full_name, '') || '|' || coalesce(email, '')) COLLATE "C"), '(..)', '\1|', 'g') || '|' || regexp_replace(substr(lower((coalesce(username, '') || '|' || coalesce(full_name, '') || '|' || coalesce(email, '')) COLLATE "C"), 2), '(..)', '\1|', 'g'), '|')
));
CREATE INDEX IF NOT EXISTS users_trigrams_idx ON idam.users USING gin ((
    string_to_array(regexp_replace(lower((coalesce(username, '') || '|' || coalesce(full_name, '') || '|' || coalesce(email, '')) COLLATE "C"), '(...)', '\1|', 'g') || '|' || regexp_replace(substr(lower((coalesce(username, '') || '|' || coalesce(full_name, '') || '|' || coalesce(email, '')) COLLATE "C"), 2), '(...)', '\1|', 'g') || '|' || regexp_replace(substr(lower((coalesce(username, '') || '|' || coalesce(full_name, '') || '|' || coalesce(email, '')) COLLATE "C"), 3), '(...)', '\1|', 'g'), '|')
));
CREATE INDEX IF NOT EXISTS invoices_trigrams_idx ON bill.invoices USING gin ((
    string_to_array(regexp_replace(lower((coalesce(invoice_no, '')) COLLATE "C"), '(...)', '\1|', 'g') || '|' || regexp_replace(substr(lower((coalesce(invoice_no, '')) COLLATE "C"), 2), '(...)', '\1|', 'g') || '|' || regexp_replace(substr(lower((coalesce(invoice_no, '')) COLLATE "C"), 3), '(...)', '\1|', 'g'), '|')
));
