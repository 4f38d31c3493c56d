package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// keyDatabases is the section of a profile that names tenants' databases one by one, by the tenant's code. It stands
// outside of the settings, since its keys are nobody's but the user's.
const keyDatabases = "tenant_databases"

// codeHole stands for the tenant's code in tenants_database_url.
const codePlaceholder = "{code}"

// readDatabases reads tenant_databases. Whether a key is a tenant's code is for those to judge who have one in hand.
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

// databasesOf returns the tenants' databases that a profile names one by one.
func tenantDatabases(entries map[string]entry) map[string]string {
	list, _ := entries[keyDatabases].value.(map[string]string)
	return list
}

// EachTenantItsOwn says whether tenants have databases of their own, rather than one together.
func (c *Config) EachTenantItsOwn() bool {
	return strings.Contains(c.TenantsURL, codePlaceholder) || c.TenantsURL == "" && len(c.TenantDatabases) > 0
}

// TenantURL returns how to reach the database of the tenant of this code, as pgx reads it, and whether other tenants
// share it; "" where nothing says, and then the database may be the dev one. The code must have been checked
// (tenants.CheckCode): it becomes part of the connection string.
func (c *Config) TenantURL(code string) (url string, shared bool, err error) {
	if own, named := c.TenantDatabases[code]; named {
		return own, false, nil
	}
	if strings.Contains(c.TenantsURL, codePlaceholder) {
		return strings.ReplaceAll(c.TenantsURL, codePlaceholder, code), false, nil
	}
	if c.TenantsURL == "" && len(c.TenantDatabases) > 0 {
		return "", false, fault.New(fault.Database, "no database is configured for tenant %s", code).
			WithHint("name it in the profile under tenant_databases, or all of them by tenants_database_url with {code}").With("tenant", code)
	}
	return c.TenantsURL, true, nil
}

// DirectTenantURL returns how to reach the server of the tenant of this code, which CheckCode has let pass, past a
// pooler; "" where nothing but TenantURL says. It stands beside tenants_database_url, so that it says nothing of the
// databases that tenant_databases names.
func (c *Config) DirectTenantURL(code string) string {
	_, named := c.TenantDatabases[code]
	if named || strings.Contains(c.TenantsURL, codePlaceholder) != strings.Contains(c.DirectTenantsURL, codePlaceholder) {
		return "" // one database must not pass for everybody's own
	}
	return strings.ReplaceAll(c.DirectTenantsURL, codePlaceholder, code)
}

// NamedTenants returns the codes that tenant_databases names, in order.
func (c *Config) NamedTenants() []string { return slices.Sorted(maps.Keys(c.TenantDatabases)) }
