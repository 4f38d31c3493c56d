package config

import (
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// codePlaceholder is replaced with the tenant's code in tenants_database_url.
const codePlaceholder = "{code}"

// EachTenantItsOwn reports whether tenants have separate databases instead of a common one.
func (c *Config) EachTenantItsOwn() bool {
	return strings.Contains(c.TenantsURL, codePlaceholder) || c.TenantsURL == "" && len(c.TenantDatabases) > 0
}

// TenantURL returns the connection string of a tenant's database, and whether other tenants share it. It is
// "" if none is configured, which may mean the dev database. The code becomes part of the connection string,
// so it must have passed tenants.CheckCode.
func (c *Config) TenantURL(code string) (url string, shared bool, err error) {
	if own, named := c.TenantDatabases[code]; named {
		return own, false, nil
	}
	if strings.Contains(c.TenantsURL, codePlaceholder) {
		return strings.ReplaceAll(c.TenantsURL, codePlaceholder, code), false, nil
	}
	if c.TenantsURL == "" && len(c.TenantDatabases) > 0 {
		return "", false, fault.New(fault.Database, "no database is configured for tenant %s", code).
			WithHint("add it to tenant_databases in the profile, or set tenants_database_url with {code} for all tenants").
			With("tenant", code)
	}
	return c.TenantsURL, true, nil
}

// DirectTenantURL returns the connection string that bypasses the pooler of a tenant's database, or "" if TenantURL is
// the only one. The code must have passed tenants.CheckCode. It does not apply to tenant_databases.
func (c *Config) DirectTenantURL(code string) string {
	_, named := c.TenantDatabases[code]
	if named || strings.Contains(c.TenantsURL, codePlaceholder) != strings.Contains(c.DirectTenantsURL, codePlaceholder) {
		return "" // a common database must not replace separate ones
	}
	return strings.ReplaceAll(c.DirectTenantsURL, codePlaceholder, code)
}
