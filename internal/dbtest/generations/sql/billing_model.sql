-- As created by the backend's model: amounts are NOT NULL without a default.
ALTER TABLE bill.invoices
    ALTER COLUMN usage_amount SET NOT NULL, ALTER COLUMN usage_amount DROP DEFAULT,
    ALTER COLUMN discount_amount SET NOT NULL, ALTER COLUMN discount_amount DROP DEFAULT,
    ALTER COLUMN tax_amount SET NOT NULL, ALTER COLUMN tax_amount DROP DEFAULT,
    ALTER COLUMN used_storage SET NOT NULL, ALTER COLUMN used_storage DROP DEFAULT,
    ALTER COLUMN api_calls SET NOT NULL, ALTER COLUMN api_calls DROP DEFAULT;
