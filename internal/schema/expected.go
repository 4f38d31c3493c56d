package schema

import "strings"

// Expectation is a table as created by cxgctl's own migrations.
type Expectation struct {
	Name    string
	Columns []ExpectedColumn
}

// ExpectedColumn is a column of an Expectation.
type ExpectedColumn struct {
	Names []string // our name, followed by those of other generations
	Type  string   // as printed by format_type
}

// In returns the table's first column with any of the names.
func (e ExpectedColumn) In(t *Table) (Column, bool) {
	for _, name := range e.Names {
		if c, ok := t.Column(name); ok {
			return c, true
		}
	}
	return Column{}, false
}

// declaration lists a table's columns after the five common ones, as "name type; …". a|b is a column named b in
// another generation. Tables of the seals have no common columns. A test compares the declarations with the migrations
// in both directions.
type declaration struct{ table, columns string }

const common = "id uuid; created_at timestamptz; created_by uuid; updated_at timestamptz; updated_by uuid; "

// The tables of imports are in databases of both kinds.
var (
	importFiles = declaration{ImportFiles, `sha256 bytea; name text; bytes bigint; op_id uuid; host text; process text; leased_until timestamptz;
		started_at timestamptz; finished_at timestamptz; created bigint; updated bigint; skipped bigint; failed bigint`}
	importRows = declaration{ImportRows, `sha256 bytea; line bigint; last_line bigint; records bigint; op_id uuid`}
)

var managerTables = []declaration{
	{Users, `user_type varchar(20); full_name varchar(100); email varchar(255); phone varchar(20); username varchar(100);
		password varchar(255); salt_key varchar(100); sso_provider varchar(50); sso_subject varchar(255); mfa_enabled boolean;
		mfa_secret varchar(255); backup_codes text[]; status varchar(20); last_login_at timestamptz; last_login_ip inet;
		failed_login_attempts integer; locked_until timestamptz; password_changed_at timestamptz; force_password_change boolean;
		timezone varchar(50); locale varchar(10); department varchar(100); position varchar(100); email_verified boolean;
		phone_verified boolean; is_active|is_deleted|deleted boolean`},
	{Roles, `code|role_code varchar(100); name|role_name varchar(100); description text; category|role_type varchar(50);
		level integer; scope varchar(20); is_default boolean; priority integer; status varchar(20); is_deleted|deleted boolean`},
	{Permissions, `code|permission_code varchar(100); name|permission_name varchar(100); description text; category varchar(50);
		resource|resource_type varchar(50); action varchar(50); scope varchar(20); applies_to varchar(20); is_system boolean;
		is_hidden boolean; status varchar(20); is_deleted|deleted boolean`},
	{RolePermissions, `role_id uuid; permission_id uuid; granted_at timestamptz; granted_by uuid`},
	{UserRoles, `user_id uuid; role_id uuid; scope varchar(20); tenant_context uuid; granted_at timestamptz;
		granted_by uuid; expires_at timestamptz; status varchar(20)`},
	{Sessions, `session_id varchar(255); user_id uuid; tenant_context uuid; session_type varchar(20);
		fingerprint varchar(255); user_agent text; ip_address inet; country_code char(2); city varchar(100); status varchar(20);
		expires_at timestamptz; last_activity_at timestamptz; mfa_verified boolean; mfa_verified_at timestamptz`},
	{LoginLogs, `user_id uuid; user_type varchar(20); tenant_context uuid; username varchar(100); attempt_type varchar(20);
		success boolean; failure_reason varchar(100); session_id varchar(255); ip_address inet; user_agent text;
		country_code char(2); city varchar(100); mfa_used boolean; mfa_method varchar(50)`},
	{APIKeys, `key_id varchar(100); key_hash varchar(255); key_name varchar(100); user_id uuid; tenant_context uuid;
		service_account varchar(100); scopes text[]; allowed_ips inet[]; rate_limit_per_minute integer;
		rate_limit_per_hour integer; rate_limit_per_day integer; status varchar(20); expires_at timestamptz;
		last_used_at timestamptz; last_used_ip inet; usage_count bigint`},
	{Tenants, `code|tenant_code varchar(20); name|tenant_name varchar(100); type|tenant_type varchar(20);
		biz_no|business_no varchar(20); biz_name|business_name varchar(100); biz_type|business_type char(1); ceo_name varchar(100);
		biz_kind|business_kind varchar(100); biz_item|business_item varchar(100);
		postcode varchar(10); address1 varchar(255); address2 varchar(255); phone_no varchar(20); employee_count integer;
		start_date date; close_date date; timezone varchar(50); locale varchar(10); currency char(3); extra_data jsonb;
		status varchar(20); is_suspended boolean; suspended_reason text; suspended_date|suspension_date date; is_deleted|deleted boolean`},
	{TenantUsers, `tenant_id uuid; user_id uuid; role varchar(50); department varchar(100); position varchar(100);
		employee_id varchar(50); start_date date; close_date date; status varchar(20); is_primary boolean; is_admin boolean`},
	{Subscriptions, `tenant_id uuid; plan_id uuid; start_date date; close_date date; billing_cycle varchar(20);
		max_users integer; max_storage integer; max_api_calls integer; base_amount numeric(18,4); user_amount numeric(18,4);
		currency char(3); auto_renewal boolean; noti_renewal boolean; status varchar(20); is_deleted|deleted boolean`},
	{"bill.plans", `code varchar(50); name varchar(100); description text; billing_cycle varchar(20); base_amount numeric(18,4);
		user_amount numeric(18,4); currency char(3); max_users integer; max_storage integer; max_api_calls integer;
		status varchar(20); is_deleted|deleted boolean`},
	{Invoices, `tenant_id uuid; subscription_id uuid; invoice_no varchar(50); invoice_date date; due_date date; start_date date;
		close_date date; base_amount numeric(18,4); usage_amount numeric(18,4); discount_amount numeric(18,4);
		tax_amount numeric(18,4); total_amount numeric(18,4); currency char(3); user_count integer; used_storage numeric(18,4);
		api_calls integer; paid_at timestamptz; payment_method varchar(50); status varchar(20); deleted|is_deleted boolean`},
	{"bill.transactions", `tenant_id uuid; invoice_id uuid; transaction_type varchar(20); amount numeric(18,4); currency char(3);
		payment_method varchar(50); gateway varchar(50); gateway_ref varchar(255); processed_at timestamptz;
		failure_reason text; status varchar(20); deleted|is_deleted boolean`},
	{AuditLogs, `tenant_id uuid; user_id uuid; event_type varchar(50); event_category varchar(50); description text;
		source_ip varchar(45); user_agent text; session_id varchar(255); resource|resource_type varchar(50); resource_id varchar(255);
		action_performed varchar(50); result varchar(20); failure_reason text; risk_level varchar(20); extra_data jsonb;
		status varchar(20); deleted|is_deleted boolean`},
	importFiles,
	importRows,
	{SealHead, `id integer; seq bigint; chain bytea; created_at timestamptz; swept_at timestamptz; swept_id uuid; looked_at timestamptz`},
	{Seals, `seq bigint; audit_id uuid; ver smallint; origin varchar(10); sealed_at timestamptz; canon bytea; leaf bytea; chain bytea`},
	{Intents, `id uuid; op_id uuid; created_at timestamptz; created_by uuid; tenant_id uuid; tenant_code varchar(20);
		action varchar(20); resource varchar(50); resource_id uuid; name text; origin jsonb; outcome varchar(10); settled_at timestamptz; digest bytea`},
	{Enforcement, `id integer; since timestamptz`},
}

var tenantTables = []declaration{
	{SysUsers, `tenant_id uuid; username varchar(100); password|password_hash varchar(255); full_name varchar(100); email varchar(255);
		phone varchar(50); role_id uuid; default_conflict_resolution_policy_id uuid; is_system_user boolean;
		last_login_at timestamptz; last_login_ip varchar(45); failed_login_attempts integer; locked_until timestamptz;
		is_active boolean; is_deleted boolean`},
	importFiles,
	importRows,
	{Applied, `intent_id uuid; op_id uuid; applied_at timestamptz; outcome varchar(10); changes jsonb`},
}

// ormAuditLogs is the audit log's other shape. Our migrations never create it, but audit rows can be written to it.
var ormAuditLogs = declaration{AuditLogs, `user_id uuid; tenant_id uuid; action varchar(255); target_entity varchar(255);
	target_id uuid; request_path varchar(255); request_method varchar(10); ip_address inet; user_agent text;
	risk_level varchar(20); extra_data jsonb; status varchar(20); deleted|is_deleted boolean`}

// ORMAudit reports whether the table is the audit log in the shape that the backend's ORM expects.
func (t *Table) ORMAudit() bool { return t.Name == AuditLogs && t.Has("request_path") }

// ManagerTables returns the tables created by the manager database's migrations. An audit log in the ORM's shape is
// expected to keep that shape.
func ManagerTables(cat Catalog) []Expectation {
	list := make([]Expectation, len(managerTables))
	for i, d := range managerTables {
		if t := cat[d.table]; t != nil && t.ORMAudit() {
			d = ormAuditLogs
		}
		list[i] = d.expand()
	}
	return list
}

// TenantTables returns the tables created by a tenant database's migrations.
func TenantTables() []Expectation {
	list := make([]Expectation, len(tenantTables))
	for i, d := range tenantTables {
		list[i] = d.expand()
	}
	return list
}

func (d declaration) expand() Expectation {
	e := Expectation{Name: d.table}
	columns := d.columns
	if !strings.HasPrefix(d.table, "cxg_audit.") {
		columns = common + columns
	}
	for column := range strings.SplitSeq(columns, ";") {
		names, typ, _ := strings.Cut(strings.TrimSpace(column), " ")
		e.Columns = append(e.Columns, ExpectedColumn{strings.Split(names, "|"), inFull(typ)})
	}
	return e
}

// inFull expands a short type name to the one printed by format_type.
func inFull(typ string) string {
	name, length, sized := strings.Cut(typ, "(")
	switch name {
	case "varchar":
		name = "character varying"
	case "char":
		name = "character"
	case "timestamptz":
		name = "timestamp with time zone"
	}
	if sized {
		return name + "(" + length
	}
	return name
}
