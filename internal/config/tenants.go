package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// keyDatabases is the section of a profile that maps tenant codes to databases. It is not among the settings, because
// users choose its keys.
const keyDatabases = "tenant_databases"

// codePlaceholder is replaced with the tenant's code in tenants_database_url.
const codePlaceholder = "{code}"

// readTenantDatabases reads tenant_databases. It does not check that the keys are tenant codes.
func (d *document) readTenantDatabases(n ast.Node, profile string) (map[string]string, error) {
	what := "profile " + profile + ", " + keyDatabases
	pairs, err := d.mapping(n, what)
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for _, p := range pairs {
		value, problem := setting{key: keyDatabases, kind: dsn}.read(p.value)
		if problem != "" {
			return nil, refuse(d.path, p.line, "%s of %s %s", p.key, what, problem)
		}
		list[p.key] = value.(string)
	}
	return list, nil
}

// tenantDatabases returns the section tenant_databases of a profile.
func tenantDatabases(entries map[string]entry) map[string]string {
	list, _ := entries[keyDatabases].value.(map[string]string)
	return list
}

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
