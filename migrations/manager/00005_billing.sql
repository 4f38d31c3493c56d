-- +goose Up
CREATE SCHEMA IF NOT EXISTS bill;

CREATE TABLE IF NOT EXISTS bill.plans (
    id            uuid          NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz   NOT NULL DEFAULT now(),
    created_by    uuid,
    updated_at    timestamptz,
    updated_by    uuid,
    code          varchar(50)   NOT NULL,
    name          varchar(100)  NOT NULL,
    description   text,
    billing_cycle varchar(20)   NOT NULL DEFAULT 'MONTHLY',
    base_amount   numeric(18,4) NOT NULL,
    user_amount   numeric(18,4) DEFAULT 0,
    currency      char(3)       NOT NULL DEFAULT 'KRW',
    max_users     integer,
    max_storage   integer,
    max_api_calls integer,
    status        varchar(20)   NOT NULL DEFAULT 'ACTIVE',
    is_deleted    boolean       NOT NULL DEFAULT false,
    CONSTRAINT plans_pkey PRIMARY KEY (id),
    CONSTRAINT plans_code_key UNIQUE (code),
    CONSTRAINT plans_billing_cycle_check CHECK (billing_cycle IN ('MONTHLY', 'QUARTERLY', 'YEARLY')),
    CONSTRAINT plans_base_amount_check CHECK (base_amount >= 0),
    CONSTRAINT plans_user_amount_check CHECK (user_amount >= 0),
    CONSTRAINT plans_status_check CHECK (status IN ('ACTIVE', 'INACTIVE'))
);

CREATE TABLE IF NOT EXISTS tnnt.subscriptions (
    id            uuid          NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz   NOT NULL DEFAULT now(),
    created_by    uuid,
    updated_at    timestamptz,
    updated_by    uuid,
    tenant_id     uuid          NOT NULL,
    plan_id       uuid          NOT NULL,
    start_date    date          NOT NULL,
    close_date    date,
    billing_cycle varchar(20)   NOT NULL DEFAULT 'MONTHLY',
    max_users     integer,
    max_storage   integer,
    max_api_calls integer,
    base_amount   numeric(18,4) NOT NULL,
    user_amount   numeric(18,4) DEFAULT 0,
    currency      char(3)       NOT NULL DEFAULT 'KRW',
    auto_renewal  boolean       NOT NULL DEFAULT true,
    noti_renewal  boolean       NOT NULL DEFAULT true,
    status        varchar(20)   NOT NULL DEFAULT 'ACTIVE',
    is_deleted    boolean       NOT NULL DEFAULT false,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (id),
    CONSTRAINT subscriptions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tnnt.tenants (id),
    CONSTRAINT subscriptions_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES bill.plans (id),
    CONSTRAINT subscriptions_billing_cycle_check CHECK (billing_cycle IN ('MONTHLY', 'QUARTERLY', 'YEARLY')),
    CONSTRAINT subscriptions_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'EXPIRED', 'CANCELED'))
);

CREATE INDEX IF NOT EXISTS subscriptions_tenant_id_idx ON tnnt.subscriptions (tenant_id);
CREATE INDEX IF NOT EXISTS subscriptions_plan_id_idx ON tnnt.subscriptions (plan_id);

-- The total has no CHECK: databases in the field have none either, and the backend's rows must fit. cxgctl computes
-- the total itself.
CREATE TABLE IF NOT EXISTS bill.invoices (
    id              uuid          NOT NULL DEFAULT gen_random_uuid(),
    created_at      timestamptz   NOT NULL DEFAULT now(),
    created_by      uuid,
    updated_at      timestamptz,
    updated_by      uuid,
    tenant_id       uuid          NOT NULL,
    subscription_id uuid          NOT NULL,
    invoice_no      varchar(50)   NOT NULL,
    invoice_date    date          NOT NULL,
    due_date        date          NOT NULL,
    start_date      date          NOT NULL,
    close_date      date          NOT NULL,
    base_amount     numeric(18,4) NOT NULL,
    usage_amount    numeric(18,4) DEFAULT 0,
    discount_amount numeric(18,4) DEFAULT 0,
    tax_amount      numeric(18,4) DEFAULT 0,
    total_amount    numeric(18,4) NOT NULL,
    currency        char(3)       NOT NULL DEFAULT 'KRW',
    user_count      integer       NOT NULL,
    used_storage    numeric(18,4),
    api_calls       integer,
    paid_at         timestamptz,
    payment_method  varchar(50),
    status          varchar(20)   NOT NULL DEFAULT 'PENDING',
    deleted         boolean       NOT NULL DEFAULT false,
    CONSTRAINT invoices_pkey PRIMARY KEY (id),
    CONSTRAINT invoices_invoice_no_key UNIQUE (invoice_no),
    CONSTRAINT invoices_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tnnt.tenants (id) ON DELETE CASCADE,
    CONSTRAINT invoices_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES tnnt.subscriptions (id) ON DELETE CASCADE,
    CONSTRAINT invoices_due_date_check CHECK (due_date >= invoice_date),
    CONSTRAINT invoices_close_date_check CHECK (close_date >= start_date),
    CONSTRAINT invoices_base_amount_check CHECK (base_amount >= 0),
    CONSTRAINT invoices_usage_amount_check CHECK (usage_amount >= 0),
    CONSTRAINT invoices_discount_amount_check CHECK (discount_amount >= 0),
    CONSTRAINT invoices_tax_amount_check CHECK (tax_amount >= 0),
    CONSTRAINT invoices_total_amount_check CHECK (total_amount >= 0),
    CONSTRAINT invoices_user_count_check CHECK (user_count > 0),
    CONSTRAINT invoices_payment_method_check CHECK (payment_method IN ('CREDIT_CARD', 'BANK_TRANSFER', 'PAYPAL', 'WIRE_TRANSFER', 'CHECK')),
    CONSTRAINT invoices_status_check CHECK (status IN ('PENDING', 'SENT', 'PAID', 'OVERDUE', 'CANCELED'))
);

CREATE TABLE IF NOT EXISTS bill.transactions (
    id               uuid          NOT NULL DEFAULT gen_random_uuid(),
    created_at       timestamptz   NOT NULL DEFAULT now(),
    created_by       uuid,
    updated_at       timestamptz,
    updated_by       uuid,
    tenant_id        uuid          NOT NULL,
    invoice_id       uuid          NOT NULL,
    transaction_type varchar(20)   NOT NULL,
    amount           numeric(18,4) NOT NULL,
    currency         char(3)       NOT NULL DEFAULT 'KRW',
    payment_method   varchar(50),
    gateway          varchar(50),
    gateway_ref      varchar(255),
    processed_at     timestamptz,
    failure_reason   text,
    status           varchar(20)   NOT NULL DEFAULT 'PENDING',
    deleted          boolean       NOT NULL DEFAULT false,
    CONSTRAINT transactions_pkey PRIMARY KEY (id),
    CONSTRAINT transactions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tnnt.tenants (id) ON DELETE CASCADE,
    CONSTRAINT transactions_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES bill.invoices (id) ON DELETE CASCADE,
    CONSTRAINT transactions_transaction_type_check CHECK (transaction_type IN ('PAYMENT', 'REFUND', 'CHARGEBACK')),
    CONSTRAINT transactions_amount_check CHECK (amount >= 0),
    CONSTRAINT transactions_status_check CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED', 'CANCELED'))
);

CREATE INDEX IF NOT EXISTS transactions_tenant_id_idx ON bill.transactions (tenant_id);
CREATE INDEX IF NOT EXISTS transactions_invoice_id_idx ON bill.transactions (invoice_id);
