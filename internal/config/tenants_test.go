package config

import (
	"fmt"
	"strings"
	"testing"
)

const tenantsFile = `profile: each
profiles:
  each:
    manager_database_url: postgres://m@h/mgmt
    tenants_database_url: postgresql+asyncpg://t:pa/ss@h/{code}?ssl=require
    tenant_databases:
      acme: postgres://t:canary@other/acme
      Beta: host=h dbname=beta
  one:
    tenants_database_url: postgres://t@h/tnnt
  listed:
    tenant_databases: {acme: postgres://t@other/acme}
  none:
    operator: x
`

func TestTenantURL(t *testing.T) {
	dir := folder(t, ".cxgctl.yaml", tenantsFile)
	for _, c := range []struct {
		profile, code string
		env           []string
		want          string // "" for an error
		shared, own   bool
	}{
		{"each", "acme", nil, "postgresql://t:canary@other/acme", false, true},
		{"each", "Beta", nil, "host=h dbname=beta", false, true},
		{"each", "beta", nil, "postgresql://t:pa%2Fss@h/beta?sslmode=require", false, true},
		{"one", "acme", nil, "postgresql://t@h/tnnt", true, false},
		{"listed", "acme", nil, "postgresql://t@other/acme", false, true},
		{"listed", "beta", nil, "", false, true},
		// an address for this run is that of all tenants
		{"each", "acme", []string{"CXGCTL_TENANTS_DATABASE_URL", "postgres://x@y/z"}, "postgresql://x@y/z", true, false},
		{"listed", "acme", []string{"CXGCTL_TENANTS_DATABASE_URL", "postgres://x@y/{code}"}, "postgresql://x@y/acme", false, true},
		{"one", "acme", []string{"TENANTS_DATABASE_URL", "postgres://x@y/{code}"}, "postgresql://t@h/tnnt", true, false},
	} {
		cfg := load(t, Flags{Profile: c.profile}, env(c.env...), dir)
		got, shared, err := cfg.TenantURL(c.code)
		if (err == nil) != (c.want != "") || got != c.want || shared != c.shared || cfg.EachTenantItsOwn() != c.own {
			t.Errorf("%s, %s, %q: %q, shared %t, each its own %t, %v", c.profile, c.code, c.env, got, shared, cfg.EachTenantItsOwn(), err)
		}
		if text := fmt.Sprintf("%+v %v %v", cfg, View(cfg), err); strings.Contains(text, "canary") || strings.Contains(text, "other") {
			t.Errorf("%s: a connection string is shown: %s", c.profile, text)
		}
	}
	if cfg := load(t, Flags{Profile: "none"}, env(), dir); cfg.EachTenantItsOwn() {
		t.Error("nothing is configured, and yet each tenant has its own")
	}
}

func TestTenantURL_BadConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"tenant_databases: {acme: canary}":                          ":3: acme of tenant_databases in profile p must be a postgres:// address",
		"tenant_databases: canary":                                  ":3: keys with values are expected in profile p",
		"tenant_databases: {'a/b': postgres://canary@h/d}":          ":3: tenant_databases in profile p has a key that is not a tenant code",
		"tenant_databases: {acme: }":                                ":3: acme of tenant_databases in profile p has no value",
		"embedded: true\n    tenant_databases: {a: postgres://h/d}": "embedded and tenant_databases cannot be combined in profile p",
		"tenant_database: {acme: postgres://canary@h/d}":            `did you mean "tenant_databases"`,
	} {
		dir := folder(t, ".cxgctl.yaml", "profiles:\n  p:\n    "+text+"\n")
		_, err := Load(Flags{Profile: "p"}, env(), dir)
		if err == nil {
			t.Errorf("%s is taken", text)
			continue
		}
		said := told(err)
		if !strings.Contains(said, want) {
			t.Errorf("%s: %s, want %q", text, said, want)
		}
		if strings.Contains(said, "canary") {
			t.Errorf("%s: the error repeats a value: %s", text, said)
		}
	}
}
