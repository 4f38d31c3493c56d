package cmdutil

import (
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// InvoiceView has the columns of invoices in tables.
var InvoiceView = output.View{
	Name:  "invoices",
	Table: []string{"invoice_no", "tenant_code", "status", "total_amount", "currency", "due_date", "invoice_date", "paid_at"},
	Wide: []string{
		"id", "invoice_no", "tenant_code", "invoice_date", "due_date", "start_date", "close_date", "base_amount",
		"usage_amount", "discount_amount", "tax_amount", "total_amount", "currency", "user_count", "status", "paid_at",
		"payment_method", "deleted", "created_at", "updated_at",
	},
}

// Invoices are the invoices of the manager database.
var Invoices = Resource[invoices.Invoice, *invoices.Table]{
	Kind:   &invoices.Kind,
	Tables: invoices.Resource.Tables,
	View:   InvoiceView,
	Open:   func(s *Session) (*invoices.Table, error) { return invoices.NewTable(s.Catalog) },
}

// TenantView has the columns of tenants in tables.
var TenantView = output.View{
	Name:  "tenants",
	Table: []string{"code", "name", "type", "status", "start_date", "close_date", "created_at"},
	Wide: []string{
		"id", "code", "name", "type", "biz_no", "ceo_name", "phone_no", "employee_count", "start_date", "close_date", "timezone", "locale",
		"currency", "status", "suspended_reason", "suspended_date", "deleted", "created_at", "updated_at",
	},
}

// Tenants are the tenants of the manager database.
var Tenants = Resource[tenants.Tenant, *tenants.Table]{
	Kind:   &tenants.Kind,
	Tables: tenants.Resource.Tables,
	View:   TenantView,
	Open:   func(s *Session) (*tenants.Table, error) { return tenants.NewTable(s.Catalog) },
}

// UserView has the columns of users in tables.
var UserView = output.View{
	Name:  "users",
	Table: []string{"username", "full_name", "email", "status", "last_login_at", "user_type", "created_at"},
	Wide: []string{
		"id", "username", "full_name", "email", "phone", "user_type", "status", "mfa_enabled", "department",
		"position", "failed_login_attempts", "locked_until", "last_login_at", "is_active", "created_at", "updated_at",
	},
}

// Users are the users of the platform or, in a session with a tenant's database, of the tenant.
var Users = Resource[users.User, *users.Table]{
	Kind:      &users.Kind,
	View:      UserView,
	InTenants: true,
	Open:      func(s *Session) (*users.Table, error) { return s.Users() },
}
