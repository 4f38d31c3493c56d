package config

// Setting is one line of the effective configuration.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`  // text, number or bool; nil if unset; "set" in place of a connection string
	Source string `json:"source"` // as in Config.Sources; "" if unset
}

// View returns the effective configuration without secrets, in a fixed order.
func View(c Config) []Setting {
	values := map[string]any{
		keyFile: c.File, keyProfile: c.Profile, keyEmbedded: c.Embedded, keyProtected: c.Protected,
		keyManager: "set", keyTenants: "set", keyReplica: "set", keyDatabases: "set",
		keyPooled: c.Pooled, keyRows: c.RowSecurity, keyDirect: "set", keyDirectTen: "set",
		keyPassword: c.PasswordFile, keyToken: c.TokenFile, keyOperator: c.Operator,
		keyRequire: c.AuthRequire, keyJWT: c.JWTSecret, keyEnforce: c.Enforce, keyFailures: c.LockAfter, keyLock: c.LockFor.String(),
		keyOutput: c.Output, keyZone: c.Zone.String(), keyTimeout: c.Timeout.String(),
	}
	keys := []string{keyFile, keyProfile}
	for _, s := range settings {
		keys = append(keys, s.key)
		if s.key == keyTenants && len(c.TenantDatabases) > 0 {
			keys = append(keys, keyDatabases)
		}
	}
	list := make([]Setting, 0, len(keys)+1)
	for _, key := range append(keys, keyToken) {
		s := Setting{Key: key}
		if from, said := c.Sources[key]; said {
			s.Value, s.Source = values[key], from
		}
		list = append(list, s)
	}
	return list
}
